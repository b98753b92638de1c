"""Tells the platform how a running job stands, without ever overtaking its result."""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

from flux_worker.generation.report import Progress, Report

log = logging.getLogger(__name__)

INTERVAL = 0.5
"""Seconds between two posts, and before the first: what happens in between is told by the later
one, and a job that ends before has nothing to tell."""

Post = Callable[[dict[str, Any]], Awaitable[None]]
"""Posts the `output` of a running job."""
Channel = Callable[[str], AbstractAsyncContextManager[Post]]
"""Opens the way to the platform for the job with this id."""


@asynccontextmanager
async def reporting(channel: Channel | None, job_id: str) -> AsyncIterator[Report]:
    """Give a function that reports progress, from any thread and without waiting.

    Reports are posted one after the other, so they arrive in order; the last one has been answered
    when the block ends, so none arrives after the result. Without a channel they go nowhere.
    """
    if channel is None:
        yield lambda progress: None
        return
    newest = _Newest()
    sender = asyncio.create_task(_send(channel, job_id, newest))
    try:
        yield newest.put
    finally:
        newest.close()
        await asyncio.wait([sender])


class _Newest:
    """Holds the newest report until it is sent."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._progress: Progress | None = None
        self._there = asyncio.Event()
        self._closed = asyncio.Event()

    def put(self, progress: Progress) -> None:
        """Replace what is held; may be called on any thread."""
        self._loop.call_soon_threadsafe(self._replace, progress)

    async def take(self) -> Progress | None:
        """Wait for a report, at most one an interval; None when there will be none any more."""
        await self._there.wait()
        self._there.clear()
        return None if self._closed.is_set() else self._progress

    async def pause(self) -> None:
        """Wait until the next report may be sent."""
        try:
            await asyncio.wait_for(self._closed.wait(), INTERVAL)
        except TimeoutError:
            return

    def close(self) -> None:
        """Drop what is held, and end the waiting."""
        self._closed.set()
        self._there.set()

    def _replace(self, progress: Progress) -> None:
        self._progress = progress
        self._there.set()


async def _send(channel: Channel, job_id: str, newest: _Newest) -> None:
    await newest.pause()
    async with channel(job_id) as post:
        while progress := await newest.take():
            try:
                await post(progress.body())
            except Exception as error:  # progress is a courtesy: the job goes on without it
                log.debug("Progress was not taken (%s).", type(error).__name__)
            await newest.pause()
