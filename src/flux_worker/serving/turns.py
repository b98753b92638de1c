"""Whose turn on the GPU it is, and when the next job is to be taken for it."""

import asyncio
import math
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager, suppress

LONGEST_LEAD = 0.5
"""Seconds that a job is taken before its foreseen turn, at most: it waits here while another worker
may be idle."""
TRIPS = 8
"""Exchanges with the platform of which the shortest counts: one may have been held open."""


class Turns:
    """The jobs that the GPU hasn't finished, in the order in which they were taken.

    Jobs that it has finished are encoded, uploaded and posted beside the next one's generation.
    """

    def __init__(self) -> None:
        """Begin with none."""
        self._needs: dict[str, float] = {}
        """Seconds that each job needs of the GPU, from its turn on."""
        self._free_at = -math.inf
        self._changed = asyncio.Event()
        self._trips: deque[float] = deque(maxlen=TRIPS)
        self._preparation = 0.0

    def join(self, job_id: str) -> None:
        """Note that a job was taken; what it needs isn't known yet."""
        self._needs[job_id] = math.inf
        if job_id == self._first():
            self._begin(math.inf)

    @contextmanager
    def aside(self, job_id: str) -> Iterator[None]:
        """Let other jobs go first while this one isn't ready for its turn."""
        was_here = job_id in self._needs
        self.leave(job_id)
        try:
            yield
        finally:
            if was_here:
                self.join(job_id)

    def expect(self, job_id: str, seconds: float) -> None:
        """Note what a job still needs of the GPU, in seconds: from now on, or from its turn on."""
        if job_id not in self._needs:
            return
        self._needs[job_id] = seconds
        if job_id == self._first():
            self._begin(seconds)

    def leave(self, job_id: str) -> None:
        """Note that a job needs the GPU no more: it is finished there, or ends without it."""
        if job_id not in self._needs:
            return
        had_its_turn = job_id == self._first()
        del self._needs[job_id]
        if had_its_turn and (following := self._first()):
            self._begin(self._needs[following])
        self._notify()

    def note_trip(self, seconds: float) -> None:
        """Note how long an exchange with the platform took."""
        self._trips.append(seconds)

    def note_preparation(self, seconds: float) -> None:
        """Note how long a job took from its take to its first step, but for the wait in between."""
        self._preparation = seconds

    @property
    def lead(self) -> float:
        """Seconds before its turn that a job is to be taken, so that it is ready for it."""
        return min(LONGEST_LEAD, min(self._trips, default=0.0) + self._preparation)

    async def nearly_free(self) -> None:
        """Return when another job is to be taken: the GPU will have nothing to do in a moment."""
        while self._needs:
            # With two here, one waits already.
            wait = self._free_at - self.lead - _now() if len(self._needs) == 1 else math.inf
            if wait <= 0:
                return
            with suppress(TimeoutError):
                async with asyncio.timeout(wait if wait < math.inf else None):
                    await self._changed.wait()

    def _first(self) -> str | None:
        return next(iter(self._needs), None)

    def _begin(self, seconds: float) -> None:
        self._free_at = _now() + seconds
        self._notify()

    def _notify(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()


def _now() -> float:
    return asyncio.get_running_loop().time()
