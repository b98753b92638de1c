"""An endpoint's workers: real processes, started, restarted and ended."""

import asyncio
import logging
import secrets
import signal
import sys
import tomllib
import uuid
from collections.abc import Callable, Mapping
from pathlib import Path

from local_platform.processes import leash
from local_platform.processes.surroundings import ROOT

log = logging.getLogger(__name__)

RESTART_PAUSE = 1.0
"""Seconds between a worker's end and the next one's start, so that a broken one doesn't spin."""
GRACE = 30.0
"""Seconds that a worker has to finish its jobs after SIGTERM."""


class Fleet:
    """A fixed number of workers of one endpoint."""

    def __init__(
        self,
        endpoint_id: str,
        url: str,
        settings: Mapping[str, str],
        on_vanished: Callable[[str], None],
        log_file: Path | None = None,
        program: Path = ROOT / "handler.py",
    ) -> None:
        """Describe the workers.

        Args:
            endpoint_id: whose jobs they take.
            url: of the platform, for example `http://127.0.0.1:8000`.
            settings: their whole environment, without what the SDK needs.
            on_vanished: called with the id of a worker that has ended.
            log_file: takes their output; by default it goes to this process's.
            program: what a worker runs.
        """
        self._endpoint_id, self._url = endpoint_id, url
        self._settings = settings
        self._on_vanished = on_vanished
        self._log_file = log_file
        self._program = program
        self._keepers: list[asyncio.Task[None]] = []
        self.running: dict[str, asyncio.subprocess.Process] = {}
        """The processes by worker id."""
        self.ready: set[str] = set()
        """The workers that have asked for a job."""
        self._keys: dict[str, bytes] = {}
        self._key_of_the_sdk = _key_of_the_sdk()

    def start(self, count: int) -> None:
        """Start that many workers, and keep that many running."""
        self._keepers += [asyncio.create_task(self._keep_one()) for _ in range(count)]

    def register(self, worker_id: str) -> str:
        """Let a worker take jobs and post results, and return the key that it must send."""
        return self._keys.setdefault(worker_id, secrets.token_urlsafe().encode()).decode()

    def knows(self, worker_id: str, key: bytes) -> bool:
        """Whether it is a worker that sends this key: nobody else may have jobs, nor end them."""
        its_own = self._keys.get(worker_id)
        keys = [its_own, self._key_of_the_sdk] if its_own else []
        return any(wanted and secrets.compare_digest(key, wanted) for wanted in keys)

    def replace(self, worker_id: str) -> None:
        """End one worker, as it asked for; another is started in its place."""
        if process := self.running.get(worker_id):
            process.send_signal(signal.SIGTERM)

    async def stop(self) -> None:
        """End all workers: SIGTERM, and SIGKILL for those that don't finish in time."""
        for keeper in self._keepers:
            keeper.cancel()
        await asyncio.gather(*self._keepers, return_exceptions=True)
        processes = list(self.running.values())
        for process in processes:
            process.send_signal(signal.SIGTERM)
        try:
            async with asyncio.timeout(GRACE):
                await asyncio.gather(*(process.wait() for process in processes))
        except TimeoutError:
            for process in processes:
                if process.stdin:
                    process.stdin.close()
            await asyncio.gather(*(process.wait() for process in processes))

    async def _keep_one(self) -> None:
        while True:
            worker_id = uuid.uuid4().hex[:14]
            process = await self._start_process(worker_id)
            self.running[worker_id] = process
            code = await process.wait()
            del self.running[worker_id]
            del self._keys[worker_id]
            self.ready.discard(worker_id)
            log.warning("Worker %s ended with code %s.", worker_id, code)
            self._on_vanished(worker_id)
            await asyncio.sleep(RESTART_PAUSE)

    async def _start_process(self, worker_id: str) -> asyncio.subprocess.Process:
        output = self._log_file.open("ab") if self._log_file else None
        try:
            return await asyncio.create_subprocess_exec(
                *leash.on_leash([sys.executable, str(self._program)]),
                env={**self._settings, **self.sdk_environment(worker_id)},
                stdin=asyncio.subprocess.PIPE,
                stdout=output,
                stderr=output,
                start_new_session=True,  # Ctrl-C in a terminal reaches the platform alone
            )
        finally:
            if output:
                output.close()

    def sdk_environment(self, worker_id: str) -> dict[str, str]:
        """Return what the SDK needs to know to take jobs as this worker."""
        base = f"{self._url}/worker/{self._endpoint_id}"
        return {
            "RUNPOD_ENDPOINT_ID": self._endpoint_id,
            "RUNPOD_POD_ID": worker_id,
            "RUNPOD_AI_API_KEY": self.register(worker_id),
            # The SDK appends parameters with "&", so there must be a "?" already.
            "RUNPOD_WEBHOOK_GET_JOB": f"{base}/job-take/$ID?gpu=local",
            "RUNPOD_WEBHOOK_POST_OUTPUT": f"{base}/job-done/$RUNPOD_POD_ID/$ID?gpu=local",
            "RUNPOD_WEBHOOK_POST_STREAM": f"{base}/job-stream/$RUNPOD_POD_ID/$ID?gpu=local",
            "RUNPOD_WEBHOOK_PING": f"{base}/ping/$RUNPOD_POD_ID",
            "RUNPOD_PING_INTERVAL": "5000",
            # The SDK's own checks connect to 8.8.8.8, which an offline laptop can't.
            "RUNPOD_SKIP_AUTO_SYSTEM_CHECKS": "true",
        }


def _key_of_the_sdk() -> bytes | None:
    """Return what the SDK sends instead of its worker's key where `runpod config` has been run."""
    try:
        written = tomllib.loads((Path.home() / ".runpod" / "config.toml").read_text())
        return str(written["default"]["api_key"]).encode() or None
    except (OSError, ValueError, KeyError, TypeError):
        return None
