"""An endpoint as a discrete-event simulation: jobs arrive, wait and run, workers come and go.

It knows nothing random: whoever calls it brings the arrivals and the seconds of each job. What the
platform does is documented at
https://docs.runpod.io/serverless/endpoints/endpoint-configurations; two things aren't, and are
taken as the local platform has them: jobs run first come, first served, and go to the worker that
has been idle longest.
"""

import heapq
import math
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import IntEnum


@dataclass(frozen=True)
class Load:
    """What the platform looks at when it decides about workers; all are counts."""

    queued: int
    running: int
    overdue: int
    """Queued jobs that have waited for longer than the policy's delay."""
    starting: int
    alive: int
    """Workers that start, idle or work."""


@dataclass(frozen=True)
class QueueDelay:
    """The first job starts a worker, others do when they have waited for so many seconds."""

    delay: float = 4.0

    def wanted(self, load: Load) -> int:
        """Return how many workers there should be, whatever the limits."""
        if load.queued and not load.alive:
            return 1
        return load.alive + max(0, load.overdue - load.starting)

    def __str__(self) -> str:
        return f"queue delay {self.delay:g} s"


@dataclass(frozen=True)
class RequestCount:
    """A worker for so many jobs that wait or run."""

    value: int = 1
    delay = math.inf

    def wanted(self, load: Load) -> int:
        """Return how many workers there should be, whatever the limits."""
        return math.ceil((load.queued + load.running) / self.value)

    def __str__(self) -> str:
        return f"request count {self.value}"


@dataclass(frozen=True)
class Settings:
    """An endpoint's, with Runpod's defaults."""

    policy: QueueDelay | RequestCount = QueueDelay()
    min_workers: int = 0
    max_workers: int = 3
    idle_timeout: float = 5.0


@dataclass(frozen=True)
class Run:
    """What happened; times are seconds from the begin, job by job in the order of arrival."""

    arrivals: Sequence[float]
    started: Sequence[float]
    finished: Sequence[float]
    lives: Sequence[tuple[float, float]]
    """Each worker's start and end. Those that never end do so with the last event."""


def simulate(
    arrivals: Sequence[float], seconds: Sequence[float], settings: Settings, cold_start: float
) -> Run:
    """Run all jobs, and the workers until the idle ones have ended.

    Args:
        arrivals: when each job is queued, ascending, in seconds.
        seconds: how long each job has a worker.
        settings: the endpoint's. Its minimum of workers is ready from the begin.
        cold_start: seconds from a worker's start until it takes jobs.
    """
    return _Endpoint(arrivals, seconds, settings, cold_start).run()


class _Event(IntEnum):
    """In the order in which those of one moment happen: what frees a worker comes first."""

    READY = 1
    DONE = 2
    ARRIVAL = 3
    OVERDUE = 4
    IDLE = 5


@dataclass(eq=False)
class _Worker:
    born: float
    always_on: bool
    ended: float | None = None
    idle_since: float | None = None


@dataclass
class _Endpoint:
    arrivals: Sequence[float]
    seconds: Sequence[float]
    settings: Settings
    cold_start: float
    now: float = 0.0
    arrived: int = 0  # jobs, of which the first `taken` have been given to workers
    taken: int = 0
    overdue: int = 0  # of the jobs that arrived, taken ones included
    starting: int = 0
    running: int = 0
    alive: int = 0
    started: list[float] = field(default_factory=list)
    finished: list[float] = field(default_factory=list)
    workers: list[_Worker] = field(default_factory=list)
    idle: deque[_Worker] = field(default_factory=deque)
    events: list[tuple[float, int, int, _Worker | None]] = field(default_factory=list)
    told: int = 0

    def run(self) -> Run:
        for _ in range(self.settings.min_workers):
            self._start(0.0, always_on=True)
        if self.arrivals:
            self._at(self.arrivals[0], _Event.ARRIVAL)
        while self.events:
            self.now, kind, _, worker = heapq.heappop(self.events)
            self._happen(_Event(kind), worker)
            self._hand_out()
            self._scale_up()
        lives = [(w.born, self.now if w.ended is None else w.ended) for w in self.workers]
        return Run(self.arrivals, self.started, self.finished, lives)

    def _happen(self, kind: _Event, worker: _Worker | None) -> None:
        if kind is _Event.ARRIVAL:
            self._arrive()
        elif kind is _Event.OVERDUE:
            self.overdue += 1
        elif worker and kind is _Event.IDLE:
            self._end_if_rested(worker)
        elif worker:
            self.starting -= kind is _Event.READY
            self.running -= kind is _Event.DONE
            worker.idle_since = self.now
            self.idle.append(worker)
            if not worker.always_on:
                self._at(self.now + self.settings.idle_timeout, _Event.IDLE, worker)

    def _arrive(self) -> None:
        self.arrived += 1
        if self.arrived < len(self.arrivals):
            self._at(self.arrivals[self.arrived], _Event.ARRIVAL)
        if math.isfinite(self.settings.policy.delay):
            self._at(self.now + self.settings.policy.delay, _Event.OVERDUE)

    def _hand_out(self) -> None:
        while self.idle and self.taken < self.arrived:
            worker = self.idle.popleft()
            worker.idle_since = None
            end = self.now + self.seconds[self.taken]
            self.started.append(self.now)
            self.finished.append(end)
            self._at(end, _Event.DONE, worker)
            self.taken += 1
            self.running += 1

    def _scale_up(self) -> None:
        overdue = max(0, self.overdue - self.taken)
        queued = self.arrived - self.taken
        load = Load(queued, self.running, overdue, self.starting, self.alive)
        wanted = min(self.settings.policy.wanted(load), self.settings.max_workers)
        for _ in range(wanted - self.alive):
            self._start(self.cold_start, always_on=False)

    def _start(self, seconds: float, always_on: bool) -> None:
        worker = _Worker(self.now, always_on)
        self.workers.append(worker)
        self.starting += 1
        self.alive += 1
        self._at(self.now + seconds, _Event.READY, worker)

    def _end_if_rested(self, worker: _Worker) -> None:
        # Not where it has worked since: another event tells of that rest's end.
        if (
            worker.idle_since is not None
            and self.now >= worker.idle_since + self.settings.idle_timeout
        ):
            self.idle.remove(worker)
            worker.ended = self.now
            self.alive -= 1

    def _at(self, moment: float, kind: _Event, worker: _Worker | None = None) -> None:
        self.told += 1  # events of one moment and kind happen in the order in which they were told
        heapq.heappush(self.events, (moment, kind, self.told, worker))
