"""One piece of work for all who want its outcome at the same time."""

import asyncio
from collections.abc import Callable, Coroutine, Hashable
from typing import Any, Generic, TypeVar

T = TypeVar("T")


class Shared(Generic[T]):
    """Does each piece once, as long as somebody waits for it."""

    def __init__(self) -> None:
        """Begin with nothing to do."""
        self._tasks: dict[Hashable, asyncio.Task[T]] = {}
        self._waiting: dict[asyncio.Task[T], int] = {}

    async def get(self, key: Hashable, begin: Callable[[], Coroutine[Any, Any, T]]) -> T:
        """Return a piece's outcome, and begin it if nobody has.

        Whoever is cancelled stops waiting; with the last of them, the piece is cancelled.

        Args:
            key: of the piece.
            begin: what is done; an error of it is raised for all.
        """
        task = self._tasks.get(key)
        if task is None:
            task = self._tasks[key] = asyncio.create_task(begin())
            self._waiting[task] = 0
        self._waiting[task] += 1
        try:
            return await asyncio.shield(task)
        finally:
            self._waiting[task] -= 1
            if task.done() or not self._waiting[task]:
                self._leave(key, task)

    def _leave(self, key: Hashable, task: asyncio.Task[T]) -> None:
        if self._tasks.get(key) is task:
            del self._tasks[key]
        if not self._waiting[task]:
            del self._waiting[task]
            task.cancel()
