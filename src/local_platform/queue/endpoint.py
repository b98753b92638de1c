"""One serverless endpoint: its queue, its workers, and the webhooks of its jobs."""

import asyncio
import logging
from collections.abc import Coroutine, Mapping
from contextlib import suppress
from pathlib import Path

import httpx

from local_platform.processes.surroundings import ROOT
from local_platform.queue import bodies
from local_platform.queue.fleet import Fleet
from local_platform.queue.job_queue import JobQueue
from local_platform.queue.jobs import Job

log = logging.getLogger(__name__)

WEBHOOK_ATTEMPTS = 3
WEBHOOK_PAUSE = 10.0
"""Seconds: https://docs.runpod.io/serverless/endpoints/send-requests has 2 retries, 10 s apart."""
WEBHOOK_PATIENCE = 10.0
"""Seconds for one attempt."""
TICK = 0.25


class Endpoint:
    """Serves one endpoint id."""

    def __init__(
        self,
        endpoint_id: str,
        url: str,
        settings: Mapping[str, str],
        log_file: Path | None = None,
        program: Path = ROOT / "handler.py",
    ) -> None:
        """Make the endpoint; `start` starts its workers. The arguments are those of `Fleet`."""
        self.id = endpoint_id
        self.queue = JobQueue(self._send_webhook)
        vanished = self.queue.worker_vanished
        self.fleet = Fleet(endpoint_id, url, settings, vanished, log_file, program)
        self._settings = settings
        self._tasks: set[asyncio.Task[None]] = set()

    def start(self, workers: int) -> None:
        """Start the workers and the clock."""
        self.fleet.start(workers)
        self._keep(self._tick())

    async def stop(self) -> None:
        """End the workers and everything that runs beside them."""
        self.queue.close()
        await self.fleet.stop()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def health(self) -> dict[str, dict[str, int]]:
        """Return the body of `/health`."""
        jobs = self.queue.health()
        busy = self.queue.busy_workers()
        ready = len(self.fleet.ready)
        workers = {
            "idle": max(0, ready - busy),
            "initializing": max(0, len(self.fleet.running) - ready),
            "running": busy,
        }
        return {"jobs": jobs, "workers": workers}

    def about(self) -> dict[str, str | None]:
        """Return what the endpoint serves: its id, and what its settings say of what it has."""
        names = ("FLUX_MODEL", "MODEL_PATH", "PRICE_PER_MEGAPIXEL", "LORA_DIR")
        return {"id": self.id} | {name: self._settings.get(name) for name in names}

    async def _tick(self) -> None:
        while True:
            await asyncio.sleep(TICK)
            self.queue.tick()

    def _send_webhook(self, job: Job) -> None:
        if job.webhook:
            self._keep(post_webhook(job.webhook, job))

    def _keep(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


async def post_webhook(url: str, job: Job) -> None:
    """Tell of a job's end until somebody answers 200, three times at most."""
    body, headers = bodies.render(job.for_webhook()), {"Content-Type": "application/json"}
    async with httpx.AsyncClient(timeout=WEBHOOK_PATIENCE) as client:
        for attempt in range(WEBHOOK_ATTEMPTS):
            if attempt:
                await asyncio.sleep(WEBHOOK_PAUSE)
            with suppress(httpx.HTTPError, httpx.InvalidURL, ValueError, TimeoutError):
                # The status is all that counts: what else is answered, be it endless, isn't read.
                async with (
                    asyncio.timeout(WEBHOOK_PATIENCE),
                    client.stream("POST", url, content=body, headers=headers) as answer,
                ):
                    if answer.status_code == 200:
                        return
    log.warning("The webhook of job %s was not accepted.", job.id)
