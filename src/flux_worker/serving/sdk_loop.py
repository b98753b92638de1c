"""The loop that takes and runs jobs, in place of the SDK's: the GPU waits for nothing but work."""

import asyncio
import logging
import signal
from collections.abc import Callable, Coroutine
from functools import partial
from typing import Any, TypeVar

from aiohttp import ClientSession
from runpod.serverless.modules import rp_job, rp_scale
from runpod.serverless.modules.worker_state import JobsProgress

from flux_worker.serving import sdk_ping
from flux_worker.serving.sdk_jobs import REFUSAL, Jobs
from flux_worker.serving.sdk_polls import Poll, hear_stops, take_jobs
from flux_worker.serving.turns import Turns

log = logging.getLogger(__name__)

Result = TypeVar("Result")

GRACE = 3.0
"""Seconds that a shutting down worker leaves its open job-take, to run what that still delivers."""


class Loop:
    """Takes a job when the GPU is about to be free, and runs it; loses none, and no answer.

    The SDK's loop sleeps for up to a second whenever it is full. It ends with its long polls, up to
    90 seconds after the shutdown, and a job that the open job-take delivers meanwhile is taken and
    never run. It drops stops of jobs that aren't running yet.
    """

    def __init__(
        self,
        config: dict[str, Any],
        turns: Turns,
        unusable: asyncio.Event,
        shutdown: asyncio.Event,
        ceiling: int,
        ready: Callable[[], None] = lambda: None,
    ) -> None:
        """Make the loop.

        Args:
            config: the SDK's; its handler answers the jobs.
            turns: say when the GPU is about to be free.
            unusable: says that the worker must be replaced.
            shutdown: is set when the worker begins to end.
            ceiling: how many jobs may be here, those that are uploaded included, when another one
                is asked for.
            ready: called when the first one can be taken.
        """
        self._handle = config["handler"]
        self._config = {**config, "handler": self._answer}
        self._turns = turns
        self._unusable = unusable
        self._shutdown = shutdown
        self._ceiling = ceiling
        self._ready = ready
        self._jobs = Jobs()
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._takes = Poll("jobs", shutdown)
        self._stops = Poll("stops", shutdown)

    def start(self) -> None:
        """Take and run jobs until SIGTERM or SIGINT; the SDK calls this."""
        asyncio.run(self._until_a_signal())

    async def run(self) -> None:
        """Take and run jobs until the shutdown; then run what was taken, and end."""
        async with rp_scale.AsyncClientSession() as session:
            beside = [
                asyncio.create_task(self._hear_stops(session)),
                asyncio.create_task(self._end_when_unusable()),
                asyncio.create_task(sdk_ping.take_over()),
            ]
            self._ready()
            while await self._room():
                await self._take(session)
            while self._tasks:
                await asyncio.wait(self._tasks.values())
            for task in beside:
                task.cancel()

    async def _until_a_signal(self) -> None:
        for each in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(each, self._shutdown.set)
        await self.run()

    async def _room(self) -> bool:
        """Wait until a job can be taken; False where the worker shuts down before."""

        async def wait() -> None:
            while len(self._tasks) >= self._ceiling:
                await asyncio.wait(self._tasks.values(), return_when="FIRST_COMPLETED")
            await self._turns.nearly_free()

        await self._until_shutdown(wait(), grace=0)
        return not self._shutdown.is_set()

    async def _take(self, session: ClientSession) -> None:
        """Take a job, where one comes, and begin to run it; pause where none came."""
        useful = False
        asking = self._takes.ask(partial(take_jobs, session))
        for given in await self._until_shutdown(asking, GRACE) or ():
            if job := await self._jobs.take(given):
                useful = True
                self._turns.note_trip(self._takes.seconds)
                # Before the next is looked at, which may have to wait: a stop may name this one.
                self._begin(session, job)
        if not self._shutdown.is_set():
            await self._takes.rest(useful)

    def _begin(self, session: ClientSession, job: dict[str, Any]) -> None:
        job_id = job["id"]

        def end(_: object) -> None:
            JobsProgress().remove(job_id)
            self._turns.leave(job_id)
            self._jobs.end(job_id)
            del self._tasks[job_id]

        JobsProgress().add(job_id)
        self._turns.join(job_id)
        self._tasks[job_id] = task = asyncio.create_task(self._run(session, job))
        # Not at the end of what it runs: a task that is cancelled at once never begins that.
        task.add_done_callback(end)

    async def _run(self, session: ClientSession, job: dict[str, Any]) -> None:
        """Run a job and post its answer."""
        rp_scale._set_batch_id(job.get("batchId"))
        try:
            await rp_job.handle_job(session, self._config, job)
            self._turns.note_trip(self._jobs.since_answer(job["id"]))
        except Exception as error:
            log.error("Job %s could not be answered (%s).", job["id"], type(error).__name__)

    async def _answer(self, job: dict[str, Any]) -> dict[str, Any]:
        """Answer a job; the last answer of a worker that must be replaced tells the platform so.

        The platform ends the worker then, so all others must have been posted before.
        """
        job_id = job["id"]
        try:
            answer: dict[str, Any] = (
                {"error": job[REFUSAL]} if REFUSAL in job else await self._handle(job)
            )
        finally:
            self._jobs.answer(job_id)
        if not self._unusable.is_set() or self._jobs.unanswered():
            return answer
        if posting := [task for other, task in self._tasks.items() if other != job_id]:
            await asyncio.wait(posting)
        return {**answer, "refresh_worker": True}

    async def _hear_stops(self, session: ClientSession) -> None:
        """Hear stops for as long as jobs run; the SDK hears none once the shutdown has begun."""
        if rp_job._job_stop_url() is None:
            log.warning("The platform has no address for stops: cancelled jobs run to their end.")
            return
        while True:
            stops = await self._stops.ask(partial(hear_stops, session))
            hits = [self._stop(each) for each in stops]
            await self._stops.rest(useful=any(hits))

    def _stop(self, job_id: str) -> bool:
        if hit := self._jobs.stop(job_id):
            self._tasks[job_id].cancel()
        return hit

    async def _end_when_unusable(self) -> None:
        # Whatever the loop is at: a cancelled job, too, can break the GPU at its end.
        await self._unusable.wait()
        self._shutdown.set()

    async def _until_shutdown(
        self, work: Coroutine[Any, Any, Result], grace: float
    ) -> Result | None:
        """Do something; None where the worker shuts down and it isn't done in so many seconds."""
        working = asyncio.ensure_future(work)
        shutdown = asyncio.ensure_future(self._shutdown.wait())
        try:
            await asyncio.wait({working, shutdown}, return_when="FIRST_COMPLETED")
            # A worker that must be replaced must not run what comes now.
            if not working.done() and not self._unusable.is_set():
                await asyncio.wait({working}, timeout=grace)
            return working.result() if working.done() else None
        finally:
            working.cancel()
            shutdown.cancel()
