"""An endpoint's queue: who may take a job, who has it, and how it ends.

Everything happens on one event loop, so a method without `await` is atomic. A job's first final
state wins: whatever arrives later is dropped.
"""

import asyncio
import math
import time
from collections import deque
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import Any

from local_platform.queue.jobs import RETRIABLE, Job, Status

MAX_LOST_WORKERS = 3
"""A job is queued again twice when its worker vanishes; the third time it fails."""


LONGER_THAN_A_POLL = 120.0
"""Seconds after which nothing that a gone worker had asked for is still open."""


class JobQueue:
    """The jobs of one endpoint."""

    def __init__(self, on_final: Callable[[Job], None]) -> None:
        """Make an empty queue.

        Args:
            on_final: called once with each job that reaches its final state.
        """
        self._jobs: dict[str, Job] = {}
        self._waiting: deque[Job] = deque()
        self._stops: dict[str, set[str]] = {}  # worker to the jobs that it must stop
        self.leaving: dict[str, float] = {}
        """Workers that get nothing any more, and until when that must be remembered."""
        self._changed = asyncio.Event()
        self._closed = False
        self._on_final = on_final
        self.retried = 0
        self._ended = dict.fromkeys(Status, 0)

    # -- for clients

    def submit(self, request: dict[str, Any], sync: bool) -> Job:
        """Queue a new job."""
        job = Job(request, sync)
        self._jobs[job.id] = job
        self._waiting.append(job)
        self._notify()
        return job

    def get(self, job_id: str) -> Job | None:
        """Return a job that is still remembered."""
        return self._jobs.get(job_id)

    async def wait_until_final(self, job: Job, seconds: float) -> None:
        """Return when the job is final, or after that time."""
        await self._wait_for(lambda: job.final, seconds)

    def cancel(self, job: Job) -> None:
        """Take a job back, from the queue or from its worker."""
        self._end(job, Status.CANCELLED)

    def retry(self, job: Job) -> bool:
        """Queue a failed job again under its id; False where its state doesn't allow it."""
        if job.status not in RETRIABLE:
            return False
        self._ended[job.status] -= 1
        job.lost_workers = 0
        job.created = time.monotonic()
        self.retried += 1
        self._requeue(job)
        return True

    def purge(self) -> int:
        """Cancel all jobs that wait, and return how many these were."""
        waiting = list(self._waiting)
        for job in waiting:
            self.cancel(job)
        return len(waiting)

    def health(self) -> dict[str, int]:
        """Count the jobs, by the names of the documented `/health`."""
        return {
            "completed": self._ended[Status.COMPLETED],
            "failed": self._ended[Status.FAILED] + self._ended[Status.TIMED_OUT],
            "inProgress": sum(job.status is Status.IN_PROGRESS for job in self._jobs.values()),
            "inQueue": len(self._waiting),
            "retried": self.retried,
        }

    # -- for workers

    async def take(self, worker_id: str, count: int, seconds: float) -> list[Job]:
        """Hand out waiting jobs; wait for the first of them for that time."""
        await self._wait_for(lambda: bool(self._waiting) or worker_id in self.leaving, seconds)
        taken: list[Job] = []
        if self._closed or worker_id in self.leaving:
            return taken
        while self._waiting and len(taken) < count:
            job = self._waiting.popleft()
            job.status, job.worker_id = Status.IN_PROGRESS, worker_id
            job.started = time.monotonic()
            taken.append(job)
        return taken

    def give_back(self, jobs: Iterable[Job]) -> None:
        """Queue jobs again, in front, that were taken by a worker who never received them."""
        for job in jobs:
            self._requeue(job, front=True)

    def progress(self, job: Job, worker_id: str, output: Any) -> None:
        """Note a running job's partial output; after its end it is dropped."""
        if job.run_by(worker_id):
            job.output = output

    def stream(self, job: Job, worker_id: str, chunk: Any) -> None:
        """Note a part of a running job's output, for `/stream`."""
        if job.run_by(worker_id):
            job.stream.append(chunk)
            self._notify()

    async def wait_for_stream(self, job: Job, seconds: float) -> None:
        """Return when there is something to fetch or the job is final, or after that time."""
        await self._wait_for(lambda: bool(job.stream) or job.final, seconds)

    def finish(self, job: Job, worker_id: str, output: Any, error: str | None) -> None:
        """Note a job's result, from the worker that has the job now."""
        if job.run_by(worker_id):
            status = Status.COMPLETED if error is None else Status.FAILED
            self._end(job, status, output, error)

    async def stops(self, worker_id: str, seconds: float) -> list[str]:
        """Return the jobs that this worker must stop; wait for the first of them."""
        await self._wait_for(lambda: bool(self._stops.get(worker_id)), seconds)
        return sorted(self._stops.pop(worker_id, set()))

    def stop_again(self, worker_id: str, job_ids: Iterable[str]) -> None:
        """Keep stops for the next poll that a worker never received."""
        self._stops.setdefault(worker_id, set()).update(job_ids)
        self._notify()

    def worker_leaves(self, worker_id: str) -> None:
        """Hand nothing more to a worker that is about to end."""
        self.leaving.setdefault(worker_id, math.inf)
        self._notify()

    def worker_vanished(self, worker_id: str) -> None:
        """Queue the jobs of a worker that has ended again, or fail them when it keeps happening."""
        self.worker_leaves(worker_id)
        self.leaving[worker_id] = time.monotonic() + LONGER_THAN_A_POLL
        self._stops.pop(worker_id, None)
        for job in list(self._jobs.values()):
            if job.status is Status.IN_PROGRESS and job.worker_id == worker_id:
                job.lost_workers += 1
                if job.lost_workers < MAX_LOST_WORKERS:
                    self.retried += 1
                    self._requeue(job, front=True)
                else:
                    times = f"{job.lost_workers} times"
                    self._end(
                        job, Status.FAILED, None, f"The worker ended during the job, {times}."
                    )

    def busy_workers(self) -> int:
        """Count the workers that have a job."""
        running = (job for job in self._jobs.values() if job.status is Status.IN_PROGRESS)
        return len({job.worker_id for job in running})

    def close(self) -> None:
        """Hand out no more jobs, and let nobody wait any longer."""
        self._closed = True
        self._notify()

    # -- for the clock

    def tick(self) -> None:
        """Time out the jobs whose policy says so, and forget old results and gone workers."""
        now = time.monotonic()
        self.leaving = {worker: until for worker, until in self.leaving.items() if until > now}
        for job in list(self._jobs.values()):
            if job.forgotten(now):
                del self._jobs[job.id]
            elif not job.final:
                self._time_out(job, now)

    def _time_out(self, job: Job, now: float) -> None:
        if now - job.created > job.ttl:
            self._end(job, Status.TIMED_OUT, None, "The job outlived its ttl.")
        elif job.started is not None and now - job.started > job.execution_timeout:
            self._end(job, Status.TIMED_OUT, None, "The job took longer than its executionTimeout.")

    def _end(self, job: Job, status: Status, output: Any = None, error: str | None = None) -> None:
        if job.final:
            return
        if job.status is Status.IN_QUEUE:
            self._waiting.remove(job)
        elif status in (Status.CANCELLED, Status.TIMED_OUT) and job.worker_id:
            self._stops.setdefault(job.worker_id, set()).add(job.id)
        job.status, job.output, job.error = status, output, error
        job.finished = time.monotonic()
        self._ended[status] += 1
        self._notify()
        self._on_final(job)

    def _requeue(self, job: Job, front: bool = False) -> None:
        job.status, job.worker_id = Status.IN_QUEUE, None
        job.started = job.finished = job.output = job.error = None
        (self._waiting.appendleft if front else self._waiting.append)(job)
        for stops in self._stops.values():
            stops.discard(job.id)
        self._notify()

    # -- waiting

    async def _wait_for(self, holds: Callable[[], bool], seconds: float) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                while not holds() and not self._closed:
                    await self._changed.wait()

    def _notify(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()
