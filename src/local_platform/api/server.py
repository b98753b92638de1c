"""The platform's HTTP server on 127.0.0.1."""

import asyncio
import socket
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import uvicorn

from local_platform.api import app
from local_platform.queue.endpoint import Endpoint

LONGEST_REST = 75
"""Seconds that a connection is kept open unused: the SDK pings every 5, and warns where that is cut
off."""
LOOK = 0.2
"""Seconds between two looks whether a worker has asked for a job."""


class Server(uvicorn.Server):
    """Serves endpoints, and stops their workers while they can still post their results."""

    def __init__(
        self, endpoints: Sequence[Endpoint], port: int, workers: int = 1, api_key: str | None = None
    ) -> None:
        """Describe the server; `run` serves until a signal or `should_exit`."""
        platform = app.build(endpoints, workers, api_key)
        super().__init__(
            uvicorn.Config(
                platform,
                "127.0.0.1",
                port,
                log_level="warning",
                timeout_keep_alive=LONGEST_REST,
            )
        )
        self._endpoints = endpoints
        self._waiting: list[asyncio.Task[None]] = []

    @contextmanager
    def in_thread(self) -> Iterator[None]:
        """Serve on another thread until the block ends."""
        thread = threading.Thread(target=self.run)
        thread.start()
        while thread.is_alive() and not self.started:
            time.sleep(0.01)
        try:
            yield
        finally:
            self.should_exit = True
            thread.join()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Begin to listen, and say where; then say when each endpoint's first worker has loaded."""
        await super().startup(sockets)
        for endpoint in self._endpoints if self.started else ():
            self._waiting.append(asyncio.create_task(self._say_when_ready(endpoint)))

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """End the workers, then everything that is still open."""
        for task in self._waiting:
            task.cancel()
        for endpoint in self._endpoints:
            await endpoint.stop()
        await super().shutdown(sockets)

    async def _say_when_ready(self, endpoint: Endpoint) -> None:
        url = f"http://{self.config.host}:{self.config.port}/v2/{endpoint.id}"
        _say(f"Listening: jobs for {url} wait until a worker has loaded (Ctrl-C to end).")
        while not endpoint.fleet.ready:
            await asyncio.sleep(LOOK)
        _say(f"Ready: POST {url}/runsync")


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
