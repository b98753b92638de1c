"""The SDK's loop that takes and runs jobs, with a shutdown that loses none."""

import asyncio
import logging
from collections.abc import Coroutine
from functools import partial
from typing import Any

from aiohttp import ClientSession
from runpod.serverless.modules import rp_job, rp_scale

from flux_worker.serving import sdk_ping
from flux_worker.serving.sdk_jobs import REFUSAL, Jobs
from flux_worker.serving.sdk_polls import Poll, hear_stops, take_jobs

log = logging.getLogger(__name__)

GRACE = 3.0
"""Seconds that a shutting down worker leaves its open job-take, to run what that still delivers."""


class Scaler(rp_scale.JobScaler):  # type: ignore[misc]
    """The SDK's loop, with a shutdown that is quick, swallows no job and loses no answer.

    The SDK's ends with its long polls, up to 90 seconds later, and a job that the open job-take
    delivers meanwhile is taken and never run. A worker that asks to be replaced is so at once by
    the SDK's means, although another of its jobs may be at its upload.
    """

    def __init__(
        self, config: dict[str, Any], unusable: asyncio.Event, shutdown: asyncio.Event
    ) -> None:
        """Make the loop.

        Args:
            config: the SDK's.
            unusable: says that the worker must be replaced.
            shutdown: is set when the worker begins to end.
        """
        self._handle = config["handler"]
        super().__init__({**config, "handler": self._answer})
        self._unusable = unusable
        self._shutdown_event = shutdown
        self._taking_ended = asyncio.Event()
        self._jobs = Jobs()
        self._takes = Poll("jobs", shutdown)
        self._stops = Poll("stops", shutdown)
        self.jobs_fetcher = self._take
        self.jobs_fetcher_timeout = None  # Poll has its own, and the pauses come on top
        self.stop_signals_fetcher = hear_stops

    async def run(self) -> None:
        """Take and run jobs until the shutdown; then run what was taken, and end."""
        async with rp_scale.AsyncClientSession() as session:
            beside = [
                asyncio.create_task(self.monitor_stop_signals(session)),
                asyncio.create_task(self._end_when_unusable()),
                asyncio.create_task(sdk_ping.take_over()),
            ]
            await asyncio.gather(self.get_jobs(session), self.run_jobs(session))
            for task in beside:
                task.cancel()

    async def get_jobs(self, session: ClientSession) -> None:
        """Take jobs until the shutdown, and say so when the last one is queued."""
        try:
            await super().get_jobs(session)
        finally:
            self._taking_ended.set()

    async def run_jobs(self, session: ClientSession) -> None:
        """Run jobs, those included that the last job-take brought after the shutdown began."""
        await super().run_jobs(session)
        await self._taking_ended.wait()
        await super().run_jobs(session)

    async def monitor_stop_signals(self, session: ClientSession) -> None:
        """Hear stops for as long as jobs run; the SDK hears none once the shutdown has begun."""
        if rp_job._job_stop_url() is None:
            log.warning("The platform has no address for stops: cancelled jobs run to their end.")
            return
        while True:
            stops = await self._stops.ask(partial(self.stop_signals_fetcher, session))
            await self._stops.rest(useful=any([await self.stop_job(each) for each in stops]))

    async def stop_job(self, job_id: str) -> bool:
        """Stop a job, also one that was taken so lately that it isn't running yet.

        The SDK drops such a stop, and the job runs to its end. And it cancels a task that hasn't
        begun: that never says that its job has ended.
        """
        return self._jobs.stop(job_id) and await super().stop_job(job_id)

    async def handle_job(self, session: ClientSession, job: dict[str, Any]) -> None:
        """Run a job, and know when that begins and ends."""
        self._jobs.begin(job["id"])
        try:
            await super().handle_job(session, job)
        finally:
            self._jobs.end(job["id"])

    async def _take(self, session: ClientSession, count: int) -> list[dict[str, Any]]:
        """Take jobs, and pause where none came that can be run."""
        given = await self._until_shutdown(self._takes.ask(partial(take_jobs, session, count)))
        taken = await self._jobs.take(given)
        if self.is_alive():
            await self._takes.rest(useful=bool(taken))
        return taken

    async def _answer(self, job: dict[str, Any]) -> dict[str, Any]:
        """Answer a job; the last answer of a worker that must be replaced tells the platform so.

        The platform ends the worker then, so all others must have been posted before.
        """
        job_id = job["id"]
        try:
            if self._jobs.stopped(job_id):
                raise asyncio.CancelledError
            answer: dict[str, Any] = (
                {"error": job[REFUSAL]} if REFUSAL in job else await self._handle(job)
            )
        finally:
            self._jobs.answer(job_id)
        if not self._unusable.is_set() or self._jobs.unanswered():
            return answer
        if posting := [task for other, task in self.jobs_tasks.items() if other != job_id]:
            await asyncio.wait(posting)
        return {**answer, "refresh_worker": True}

    async def _end_when_unusable(self) -> None:
        # Whatever the loop is at: a cancelled job, too, can break the GPU at its end.
        await self._unusable.wait()
        self.kill_worker()

    async def _until_shutdown(self, asking: Coroutine[Any, Any, list[Any]]) -> list[Any]:
        """Ask for jobs; none where the worker shuts down and none came in the grace."""
        fetch = asyncio.ensure_future(asking)
        shutdown = asyncio.ensure_future(self._shutdown_event.wait())
        try:
            if not self._unusable.is_set():
                await asyncio.wait({fetch, shutdown}, return_when="FIRST_COMPLETED")
            # A worker that must be replaced must not run what comes now.
            if not fetch.done() and not self._unusable.is_set():
                await asyncio.wait({fetch}, timeout=GRACE)
            return fetch.result() if fetch.done() else []
        finally:
            fetch.cancel()
            shutdown.cancel()
