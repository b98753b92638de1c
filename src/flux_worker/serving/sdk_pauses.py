"""How long the worker waits before it asks or tells the platform the same again."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress


class Pauses:
    """Pauses that double, up to a longest one; the shutdown ends the one that it meets."""

    def __init__(self, first: float, longest: float, shutdown: asyncio.Event) -> None:
        """Begin with `first` seconds."""
        self._first, self._longest, self._shutdown = first, longest, shutdown
        self._next = first

    def reset(self) -> None:
        """Begin again with the first."""
        self._next = self._first

    async def wait(self) -> None:
        """Wait for the next pause."""
        seconds, self._next = self._next, min(2 * self._next, self._longest)
        if self._shutdown.is_set():
            await asyncio.sleep(seconds)
            return
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._shutdown.wait()
                self.reset()


@asynccontextmanager
async def bounded(shutdown: asyncio.Event, seconds: float) -> AsyncIterator[None]:
    """Let the block take any time, but only so many seconds from the shutdown on.

    Raises:
        TimeoutError: these have passed.
    """
    async with asyncio.timeout(None) as limit:

        async def bound() -> None:
            await shutdown.wait()
            limit.reschedule(asyncio.get_running_loop().time() + seconds)

        watch = asyncio.create_task(bound())
        try:
            yield
        finally:
            watch.cancel()
