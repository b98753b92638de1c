"""Every change that is made to the pinned SDK, runpod 1.12.0, each with its reason.

Remove a change when the SDK has made it itself: a test for each fails then.
"""

import asyncio
import json
import logging
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from typing import Any

from aiohttp import ClientError, ClientResponseError, ClientSession, ClientTimeout
from runpod.http_client import AsyncClientSession
from runpod.serverless.modules import rp_http, rp_scale

from flux_worker.progress import Channel, Post

log = logging.getLogger(__name__)

POST_ATTEMPTS = 8
POST_PATIENCE = 60.0
"""Seconds for one attempt: the largest answer has 10 MB."""
LONGEST_PAUSE = 30.0
"""Seconds. With the pauses doubling from one second, the last attempt comes after a minute and a
half: longer than a platform's restart, shorter than anybody's patience."""
PROGRESS_PATIENCE = 3.0
"""Seconds for one update. A result waits for the update before it, so it is short."""
AS_THE_SDK_POSTS = {"charset": "utf-8", "Content-Type": "application/x-www-form-urlencoded"}
STOP_ATTEMPTS = 10
"""Tenths of a second in which a taken job is sure to run: the SDK's loop looks every tenth."""
GRACE = 3.0
"""Seconds that a shutting down worker leaves its open job-take, to run what that still delivers."""


def adapt() -> None:
    """Make all changes. To be called once, before `runpod.serverless.start`."""
    rp_http._transmit = post_result
    rp_scale.JobScaler = Scaler


async def post_result(session: ClientSession, url: str, body: str) -> None:
    """Post a job's result until the platform takes it.

    The SDK retries a 5xx three times within seven seconds and gives up on a dropped connection or a
    429 at once: the result is lost and the job stays IN_PROGRESS (runpod-python issue 309).

    Raises:
        ClientError: the platform refused it for good, or never took it.
    """
    pause = 1.0
    for attempt in range(1, POST_ATTEMPTS + 1):
        try:
            async with session.post(
                url,
                data=body,
                headers=AS_THE_SDK_POSTS,
                timeout=ClientTimeout(total=POST_PATIENCE),
                raise_for_status=True,
            ) as response:
                await response.read()
                return
        except (ClientError, TimeoutError) as error:
            if attempt == POST_ATTEMPTS or _final(error):
                raise
            log.warning("The platform did not take a result; trying again in %.0f s.", pause)
            await asyncio.sleep(pause)
            pause = min(2 * pause, LONGEST_PAUSE)


def channel() -> Channel | None:
    """Return the way to the platform for progress, or None where no platform started the worker."""
    return progress_channel if rp_http.JOB_DONE_URL != "JOB_DONE_URL" else None


@asynccontextmanager
async def progress_channel(job_id: str) -> AsyncIterator[Post]:
    """Post a job's progress over one connection, one update after the other.

    The SDK's progress_update opens a thread and a connection for each: they overtake each other and
    the result, after which the job stays IN_PROGRESS (runpod-python issue 250).
    """
    url = rp_http.JOB_DONE_URL.replace("$ID", job_id) + "&isStream=false"
    async with AsyncClientSession() as session:

        async def post(output: dict[str, Any]) -> None:
            body = json.dumps({"status": "IN_PROGRESS", "output": output})
            patience = ClientTimeout(total=PROGRESS_PATIENCE)
            async with session.post(
                url, data=body, headers=AS_THE_SDK_POSTS, timeout=patience
            ) as response:
                await response.read()

        yield post


def _final(error: Exception) -> bool:
    if not isinstance(error, ClientResponseError):
        return False
    return error.status < 500 and error.status not in (408, 429)


class Scaler(rp_scale.JobScaler):  # type: ignore[misc]
    """The SDK's loop, with a shutdown that is quick and swallows no job.

    The SDK's ends with its long polls, up to 90 seconds later, and a job that the open job-take
    delivers meanwhile is taken and never run.
    """

    def __init__(self, config: dict[str, Any]) -> None:
        super().__init__(config)
        self._taking_ended = asyncio.Event()
        self._late_stops: set[asyncio.Task[None]] = set()
        fetch = rp_scale.get_job
        self.jobs_fetcher = lambda session, count: self._until_shutdown(fetch(session, count))

    async def run(self) -> None:
        """Take and run jobs until the shutdown; then run what was taken, and end."""
        async with rp_scale.AsyncClientSession() as session:
            stopping = asyncio.create_task(self.monitor_stop_signals(session))
            await asyncio.gather(self.get_jobs(session), self.run_jobs(session))
            stopping.cancel()

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

    async def _until_shutdown(self, fetching: Coroutine[Any, Any, Any]) -> Any:
        if self.config.get("refresh_worker"):
            fetching.close()
            self.kill_worker()
            return None
        fetch = asyncio.ensure_future(fetching)
        shutdown = asyncio.ensure_future(self._shutdown_event.wait())
        try:
            while not (fetch.done() or shutdown.done()):
                await asyncio.wait({fetch, shutdown}, timeout=1, return_when="FIRST_COMPLETED")
                # The SDK looks only after a job, and a cancelled one can break the GPU at its end.
                if self.config.get("refresh_worker"):
                    self.kill_worker()
                    break
            # A worker that asks to be replaced must not run what comes now.
            if not fetch.done() and not self.config.get("refresh_worker"):
                await asyncio.wait({fetch}, timeout=GRACE)
            return fetch.result() if fetch.done() else None
        finally:
            fetch.cancel()
            shutdown.cancel()
