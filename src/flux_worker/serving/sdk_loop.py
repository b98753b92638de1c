"""The SDK's loop that takes and runs jobs, with a shutdown that loses none."""

import asyncio
from collections.abc import Coroutine
from typing import Any

from aiohttp import ClientError, ClientSession
from runpod.serverless.modules import rp_scale

STOP_ATTEMPTS = 10
"""Tenths of a second in which a taken job is sure to run: the SDK's loop looks every tenth."""
GRACE = 3.0
"""Seconds that a shutting down worker leaves its open job-take, to run what that still delivers."""


class Scaler(rp_scale.JobScaler):  # type: ignore[misc]
    """The SDK's loop, with a shutdown that is quick, swallows no job and loses no answer.

    The SDK's ends with its long polls, up to 90 seconds later, and a job that the open job-take
    delivers meanwhile is taken and never run. A worker that asks to be replaced is so at once by
    the SDK's means, although another of its jobs may be at its upload.
    """

    def __init__(self, config: dict[str, Any], unusable: asyncio.Event) -> None:
        """Make the loop; `unusable` says that the worker must be replaced."""
        self._handle = config["handler"]
        super().__init__({**config, "handler": self._answer})
        self._unusable = unusable
        self._taking_ended = asyncio.Event()
        self._at_work: set[str] = set()
        self._last_word_taken = False
        self._late_stops: set[asyncio.Task[None]] = set()
        fetch = rp_scale.get_job
        self.jobs_fetcher = lambda session, count: self._until_shutdown(fetch(session, count))

    async def run(self) -> None:
        """Take and run jobs until the shutdown; then run what was taken, and end."""
        async with rp_scale.AsyncClientSession() as session:
            beside = [
                asyncio.create_task(self.monitor_stop_signals(session)),
                asyncio.create_task(self._end_when_unusable()),
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
        await super().monitor_stop_signals(session)
        while True:
            try:
                job_ids = await self.stop_signals_fetcher(session)
            except (ClientError, TimeoutError):
                job_ids = []
            for job_id in job_ids:
                await self.stop_job(job_id)
            await asyncio.sleep(0 if job_ids else 1)

    async def stop_job(self, job_id: str) -> bool:
        """Stop a job, also one that was taken so lately that it isn't running yet.

        The SDK drops such a stop, and the job runs to its end.
        """
        # A task that is cancelled before its first step never says that its job has ended.
        await asyncio.sleep(0)
        if await super().stop_job(job_id):
            return True
        # Not here: the next stop must not wait.
        late = asyncio.create_task(self._stop_when_it_runs(job_id))
        self._late_stops.add(late)
        late.add_done_callback(self._late_stops.discard)
        return False

    async def _stop_when_it_runs(self, job_id: str) -> None:
        for _ in range(STOP_ATTEMPTS):
            await asyncio.sleep(0.1)
            if await super().stop_job(job_id):
                return

    async def _answer(self, job: dict[str, Any]) -> dict[str, Any]:
        """Answer a job; the last answer of a worker that must be replaced tells the platform so.

        The platform ends the worker then, so all others must have been posted before.
        """
        self._at_work.add(job["id"])
        try:
            answer: dict[str, Any] = await self._handle(job)
        finally:
            self._at_work.discard(job["id"])
        if not self._unusable.is_set() or self._at_work or self._last_word_taken:
            return answer
        self._last_word_taken = True
        if posting := [task for other, task in self.jobs_tasks.items() if other != job["id"]]:
            await asyncio.wait(posting)
        return {**answer, "refresh_worker": True}

    async def _end_when_unusable(self) -> None:
        # Whatever the loop is at: a cancelled job, too, can break the GPU at its end.
        await self._unusable.wait()
        self.kill_worker()

    async def _until_shutdown(self, fetching: Coroutine[Any, Any, Any]) -> Any:
        """Fetch jobs; None where the worker shuts down and none came in the grace."""
        fetch = asyncio.ensure_future(fetching)
        shutdown = asyncio.ensure_future(self._shutdown_event.wait())
        try:
            if not self._unusable.is_set():
                await asyncio.wait({fetch, shutdown}, return_when="FIRST_COMPLETED")
            # A worker that must be replaced must not run what comes now.
            if not fetch.done() and not self._unusable.is_set():
                await asyncio.wait({fetch}, timeout=GRACE)
            return fetch.result() if fetch.done() else None
        finally:
            fetch.cancel()
            shutdown.cancel()
