"""The simulation against the local platform: real demo workers, the same arrivals, three rates.

The simulation gets what can't be simulated: when each job was sent, and how long it kept its worker
from asking for another. What it must find is how long jobs wait (`delayTime`).
"""

import os
import statistics
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmarks.jobs import finished, get
from benchmarks.scaling.measures import poisson
from benchmarks.scaling.simulation import Settings, simulate
from benchmarks.table import markdown
from local_platform.api.server import Server
from local_platform.processes import surroundings
from local_platform.processes.api_worker import post_json
from local_platform.processes.ports import free_ports
from local_platform.processes.surroundings import demo_environment
from local_platform.queue.endpoint import Endpoint
from local_platform.queue.job_queue import JobQueue
from local_platform.queue.jobs import Job

SHARES = {"low": 0.3, "medium": 0.6, "near saturation": 0.85}
"""Of what the workers can do at most."""
BAR = 0.2
CALIBRATION = 20
"""Jobs for each worker, queued at once."""
JOB = {
    "prompt": "a red circle on a white background",
    "width": 256,
    "height": 256,
    "num_inference_steps": 4,
}
HEADS = ("rate", "jobs a second", "load", "measured mean wait, s", "simulated, s", "ratio")


@dataclass(frozen=True)
class Served:
    """How it went with a job; all in seconds."""

    sent: float
    """Since the first was due."""
    wait: float
    busy: float
    """From when a worker took it until that worker asked for another."""


def main(workers: int, jobs: int) -> None:
    """Print measured and simulated mean waits, and their ratio."""
    surroundings.isolate()
    with _serving(workers) as platform:
        platform.serve([0.0] * 2 * workers)  # each worker's first is slower
        saturated = platform.serve([0.0] * CALIBRATION * workers)
        each = statistics.mean(job.busy for job in saturated)
        print(
            f"{jobs} jobs at each rate, {JOB['width']}×{JOB['height']} in "
            f"{JOB['num_inference_steps']} steps, demo workers: {workers}, cores: "
            f"{os.cpu_count()}. With all jobs queued at once one keeps its worker for "
            f"{each:.2f} s. Bar: ratio from {1 - BAR:.1f} to {1 + BAR:.1f}.\n"
        )
        rows = []
        for name, share in SHARES.items():
            rate = share * workers / each
            served = platform.serve(arrivals(rate, jobs))
            rows.append((name, f"{rate:.2f}", *_cells(served, workers)))
    print(markdown(HEADS, rows))


def arrivals(rate: float, jobs: int) -> list[float]:
    """Draw so many Poisson arrivals, which take as long as they do on average."""
    drawn = poisson(1.0, 3.0 * jobs)[:jobs]
    return [moment / drawn[-1] * jobs / rate for moment in drawn]


def waits(served: Sequence[Served], workers: int) -> list[float]:
    """Simulate how long these jobs wait."""
    sent, busy = [job.sent for job in served], [job.busy for job in served]
    settings = Settings(min_workers=workers, max_workers=workers)
    run = simulate(sent, busy, settings, cold_start=0.0)
    return [start - arrival for start, arrival in zip(run.started, sent, strict=True)]


def _cells(served: Sequence[Served], workers: int) -> tuple[str, ...]:
    load = sum(job.busy for job in served) / workers / (served[-1].sent - served[0].sent)
    measured = statistics.mean(job.wait for job in served)
    simulated = statistics.mean(waits(served, workers))
    return f"{load:.0%}", f"{measured:.3f}", f"{simulated:.3f}", f"{simulated / measured:.2f}"


class Takes:
    """Notes when workers ask for jobs, and when they get them."""

    def __init__(self, queue: JobQueue) -> None:
        """Watch a queue from now on."""
        self._take = queue.take
        queue.take = self._noted  # type: ignore[method-assign]
        self._got: dict[str, tuple[str, float]] = {}  # by job: the worker, and when
        self._asked: dict[str, list[float]] = {}  # by worker

    async def _noted(self, worker_id: str, count: int, seconds: float) -> list[Job]:
        self._asked.setdefault(worker_id, []).append(time.monotonic())
        jobs = await self._take(worker_id, count, seconds)
        self._got.update((job.id, (worker_id, time.monotonic())) for job in jobs)
        return jobs

    def busy(self, job_id: str) -> float:
        """Wait until the worker that took the job has asked again; return the seconds between."""
        worker, got = self._got[job_id]
        while self._asked[worker][-1] < got:
            time.sleep(0.05)
        return next(asked for asked in self._asked[worker] if asked >= got) - got


class _Platform:
    def __init__(self, url: str, takes: Takes) -> None:
        self._url, self._takes = url, takes

    def serve(self, arrivals: Sequence[float]) -> list[Served]:
        """Send a job at each of these moments, in seconds from now, and wait for all."""
        begin = time.monotonic()
        sent, ids = [], []
        for arrival in arrivals:
            time.sleep(max(0.0, begin + arrival - time.monotonic()))
            sent.append(time.monotonic() - begin)
            ids.append(post_json(f"{self._url}/run", {"input": JOB})["id"])
        return [self._served(*job) for job in zip(ids, sent, strict=True)]

    def _served(self, job_id: str, sent: float) -> Served:
        report = finished(self._url, job_id)
        return Served(sent, report["delayTime"] / 1000, self._takes.busy(job_id))


@contextmanager
def _serving(workers: int) -> Iterator[_Platform]:
    """Start the platform and its workers, each with one job at a time: all others wait outside."""
    (port,) = free_ports(1)
    url = f"http://127.0.0.1:{port}"
    with tempfile.TemporaryDirectory() as folder:
        settings = demo_environment({"JOBS_IN_FLIGHT": "1"})
        endpoint = Endpoint("flux", url, settings, Path(folder) / "worker.log")
        takes = Takes(endpoint.queue)
        with Server([endpoint], port, workers).in_thread():
            while get(f"{url}/health")["workers"]["idle"] < workers:
                time.sleep(0.2)
            yield _Platform(url, takes)
