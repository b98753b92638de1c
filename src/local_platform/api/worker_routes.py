"""The platform's half that workers speak to: the protocol of runpod-python 1.12.0.

The SDK posts JSON as a form. Its polls would wait for 90 seconds; here they are answered earlier.
"""

from typing import Any

from fastapi import APIRouter, Depends, Request, Response

from local_platform.api.answers import Json, Refused
from local_platform.queue.bodies import parse
from local_platform.queue.endpoint import Endpoint
from local_platform.queue.jobs import Job

POLL = 25.0
"""Seconds that a poll is held open."""


def routes(endpoint: Endpoint) -> APIRouter:
    """Return the routes under `/worker/{endpoint}`."""
    queue = endpoint.queue

    async def with_its_key(request: Request, worker_id: str) -> None:
        key = request.headers.get("Authorization", "").encode("latin-1")
        if not endpoint.fleet.knows(worker_id, key):
            raise Refused(401, "Only workers that this platform has started may ask this.")

    router = APIRouter(prefix=f"/worker/{endpoint.id}", dependencies=[Depends(with_its_key)])

    async def take(request: Request, worker_id: str, count: int) -> list[Job]:
        endpoint.fleet.ready.add(worker_id)
        jobs = await queue.take(worker_id, count, POLL)
        if jobs and await request.is_disconnected():
            queue.give_back(jobs)
            return []
        return jobs

    @router.get("/job-take/{worker_id}")
    async def job_take(request: Request, worker_id: str) -> Response:
        jobs = await take(request, worker_id, 1)
        return Json(jobs[0].for_worker()) if jobs else Response(status_code=204)

    @router.get("/job-take-batch/{worker_id}")
    async def job_take_batch(request: Request, worker_id: str, batch_size: int = 1) -> Response:
        jobs = await take(request, worker_id, batch_size)
        if not jobs:
            return Response(status_code=204)
        return Json([job.for_worker() for job in jobs])

    @router.get("/job-stop/{worker_id}")
    async def job_stop(request: Request, worker_id: str) -> Response:
        stops = await queue.stops(worker_id, POLL)
        if stops and await request.is_disconnected():
            queue.stop_again(worker_id, stops)
        return Json({"jobsToStop": stops}) if stops else Response(status_code=204)

    @router.post("/job-done/{worker_id}/{job_id}")
    async def job_done(request: Request, worker_id: str, job_id: str) -> Response:
        body, job = await _json(request), queue.get(job_id)
        if job is None:
            return Response(status_code=200)  # forgotten: nobody waits for it any more
        if body.get("status") == "IN_PROGRESS":
            queue.progress(job, worker_id, body.get("output"))
            return Response(status_code=200)
        error = body.get("error")
        if body.get("stopPod"):
            queue.worker_leaves(worker_id)
            endpoint.fleet.replace(worker_id)
        reason = error if isinstance(error, str) else None
        queue.finish(job, worker_id, body.get("output"), reason)
        return Response(status_code=200)

    @router.post("/job-stream/{worker_id}/{job_id}")
    async def job_stream(request: Request, worker_id: str, job_id: str) -> Response:
        body, job = await _json(request), queue.get(job_id)
        if job is not None:
            queue.stream(job, worker_id, body)
        return Response(status_code=200)

    @router.get("/ping/{worker_id}")
    async def ping(worker_id: str) -> Response:
        return Response(status_code=200)

    return router


async def _json(request: Request) -> dict[str, Any]:
    try:
        body = parse(await request.body())
    except ValueError as error:
        raise Refused(400, str(error)) from None
    if not isinstance(body, dict):
        raise Refused(400, "The body must be an object.")
    return body
