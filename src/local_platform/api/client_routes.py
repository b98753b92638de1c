"""The platform's half that clients speak to: the documented operations of an endpoint.

https://docs.runpod.io/serverless/endpoints/operations
"""

from typing import Any

from fastapi import APIRouter, Request

from local_platform.api.answers import Json, Refused
from local_platform.queue.bodies import parse
from local_platform.queue.endpoint import Endpoint
from local_platform.queue.jobs import Job

MAX_RUN_BYTES = 10_000_000
MAX_RUNSYNC_BYTES = 20_000_000
DEFAULT_WAIT_MS = 90_000
MIN_WAIT_MS, MAX_WAIT_MS = 1_000, 300_000
STREAM_WAIT = 1.0
"""Seconds that `/stream` waits for something new before it answers with nothing."""


def routes(endpoint: Endpoint, prefix: str) -> APIRouter:
    """Return the endpoint's operations under a prefix."""
    queue = endpoint.queue
    router = APIRouter(prefix=prefix)

    @router.post("/run")
    async def run(request: Request) -> Json:
        job = queue.submit(await _request_body(request, MAX_RUN_BYTES), sync=False)
        return Json({"id": job.id, "status": job.status.value})

    @router.post("/runsync")
    async def runsync(request: Request, wait: int | None = None) -> Json:
        seconds = _wait(wait)
        job = queue.submit(await _request_body(request, MAX_RUNSYNC_BYTES), sync=True)
        await queue.wait_until_final(job, seconds)
        return Json(job.report())

    @router.api_route("/status/{job_id}", methods=["GET", "POST"])
    async def status(job_id: str) -> Json:
        return Json(_job(job_id).report())

    @router.api_route("/status-sync/{job_id}", methods=["GET", "POST"])
    async def status_sync(job_id: str, wait: int | None = None) -> Json:
        job = _job(job_id)
        await queue.wait_until_final(job, _wait(wait))
        return Json(job.report())

    @router.api_route("/stream/{job_id}", methods=["GET", "POST"])
    async def stream(job_id: str) -> Json:
        job = _job(job_id)
        await queue.wait_for_stream(job, STREAM_WAIT)
        chunks, job.stream = job.stream, []
        return Json({**job.report(), "stream": chunks})

    @router.post("/cancel/{job_id}")
    async def cancel(job_id: str) -> Json:
        job = _job(job_id)
        queue.cancel(job)
        return Json(job.report())

    @router.post("/retry/{job_id}")
    async def retry(job_id: str) -> Json:
        job = _job(job_id)
        if not queue.retry(job):
            raise Refused(
                400, f"Only failed and timed out jobs can be retried; this one is {job.status}."
            )
        return Json({"id": job.id, "status": job.status.value})

    @router.post("/purge-queue")
    async def purge_queue() -> Json:
        return Json({"removed": queue.purge(), "status": "completed"})

    @router.get("/health")
    async def health() -> Json:
        return Json(endpoint.health())

    def _job(job_id: str) -> Job:
        job = queue.get(job_id)
        if job is None:
            raise Refused(404, f"There is no job {job_id}: it never was, or its result is expired.")
        return job

    return router


def _wait(milliseconds: int | None) -> float:
    if milliseconds is None:
        return DEFAULT_WAIT_MS / 1000
    if not MIN_WAIT_MS <= milliseconds <= MAX_WAIT_MS:
        raise Refused(400, f"wait must be between {MIN_WAIT_MS} and {MAX_WAIT_MS} milliseconds.")
    return milliseconds / 1000


async def _request_body(request: Request, limit: int) -> dict[str, Any]:
    data = bytearray()
    async for part in request.stream():
        data += part
        if len(data) > limit:
            raise Refused(413, f"The body is larger than {limit / 1e6:.0f} MB.")
    try:
        body = parse(data)
    except ValueError as error:
        raise Refused(400, str(error)) from None
    if not isinstance(body, dict) or body.get("input") is None:
        raise Refused(400, 'The body must be an object with an "input".')
    return body
