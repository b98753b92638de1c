"""Images a minute through the queue: the worker, a plain handler, and the bare pipeline.

    python -m benchmarks.throughput [--rounds 1]

The handlers run as real worker processes behind the local platform, with the same weights, the same
S3 server and the same jobs, which are all queued at once. Each exchange between worker and platform
takes a simulated round trip longer. The plain handler is what the SDK's examples show: one function
that generates, encodes and uploads, and returns. The bare pipeline generates one image after the
other, and nothing else. Each has one core for the model, as it would have a GPU.
"""

import argparse
import asyncio
import json
import os
import statistics
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from threading import Event
from typing import Any

import torch
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from benchmarks.jobs import finished
from benchmarks.table import markdown
from flux_worker.contract.catalog import DEV
from flux_worker.contract.request import ImageRequest
from flux_worker.engine import pipeline
from flux_worker.generation.generator import Generator
from flux_worker.generation.inputs import Inputs
from flux_worker.settings import Settings
from local_platform.api.server import Server
from local_platform.processes import surroundings
from local_platform.processes.api_worker import post_json
from local_platform.processes.ports import free_ports
from local_platform.processes.s3_server import S3Server
from local_platform.processes.surroundings import DEMO_WEIGHTS, ROOT, demo_environment
from local_platform.queue.endpoint import Endpoint

PROGRAMS = {
    "plain handler": ROOT / "benchmarks" / "plain_handler.py",
    "worker": ROOT / "handler.py",
}
ROUND_TRIPS = (0.0, 0.05, 0.2)
"""Seconds."""
STAGES = ("text_encoding", "denoising", "decoding")
"""In which the model works."""


@dataclass(frozen=True)
class Load:
    """Jobs that are queued at once."""

    name: str
    count: int
    side: int
    target: float
    """Seconds that the bare pipeline is to take for one; the number of steps follows from it."""
    bar: float
    """What the worker must reach of the bare pipeline's rate, at a round trip of 50 ms."""


LOADS = (Load("short", 60, 256, 0.1, 0.85), Load("long", 20, 640, 2.0, 0.97))


@dataclass(frozen=True)
class Result:
    """What was seen of one load."""

    rate: float
    """Images a minute."""
    busy: float
    """The share of the time in which the model worked."""


def main() -> None:
    """Print a table."""
    surroundings.isolate()
    os.environ["OMP_NUM_THREADS"] = "1"
    torch.set_num_threads(1)
    rounds = _options().rounds
    bare = _Bare()
    jobs = {load: bare.job(load) for load in LOADS}
    results: dict[tuple[Load, float | None, str], list[Result]] = {}
    with S3Server() as s3:
        for _ in range(rounds):
            for load in LOADS:
                results.setdefault((load, None, "bare pipeline"), []).append(
                    bare.run(jobs[load], load)
                )
            for name, program in PROGRAMS.items():
                with _serving(demo_environment(s3.environment), program) as (url, log, network):
                    for load in LOADS:
                        for seconds in ROUND_TRIPS:
                            network.seconds = seconds
                            seen = _measure(url, log, jobs[load], load.count)
                            results.setdefault((load, seconds, name), []).append(seen)
    print(
        f"All jobs queued at once; median of {rounds}; {os.cpu_count()} cores, one for the model:\n"
    )
    columns = ("jobs", "round trip", "", "images a minute", "× bare pipeline", "model works")
    print(markdown(columns, list(_rows(results))))


def _rows(
    results: dict[tuple[Load, float | None, str], list[Result]],
) -> Iterator[tuple[str, ...]]:
    medians = {
        what: Result(
            statistics.median(each.rate for each in seen),
            statistics.median(each.busy for each in seen),
        )
        for what, seen in results.items()
    }
    order = {load: number for number, load in enumerate(LOADS)}
    for what in sorted(medians, key=lambda key: (order[key[0]], key[1] or 0, key[1] is not None)):
        load, trip, name = what
        result, base = medians[what], medians[load, None, "bare pipeline"]
        bar = f" (bar: {load.bar:.2f})" if (trip, name) == (0.05, "worker") else ""
        yield (
            f"{load.count} of {60 / base.rate:.2f} s",
            "" if trip is None else f"{1000 * trip:.0f} ms",
            name,
            f"{result.rate:.1f}",
            f"{result.rate / base.rate:.2f}{bar}",
            f"{result.busy:.0%}",
        )


class _Bare:
    """The pipeline in this process."""

    def __init__(self) -> None:
        settings = Settings(model_path=str(DEMO_WEIGHTS), allow_cpu=True)
        self._generator = Generator(pipeline.load(settings), settings.model)

    def job(self, load: Load) -> dict[str, Any]:
        """Return a job that takes about the load's target."""
        job = {
            "width": load.side,
            "height": load.side,
            "image_format": "png",
        }
        took: dict[str, float] = {}
        for steps in (1, 8, 8):
            took = self._generate(numbered({**job, "num_inference_steps": steps}, -steps))
        fixed = sum(took[stage] for stage in STAGES) - 8 * took["per_step"]
        steps = round((load.target - fixed) / took["per_step"])
        low, high = DEV.parameters.num_inference_steps.low, DEV.parameters.num_inference_steps.high
        return {**job, "num_inference_steps": max(low, min(high, steps))}

    def run(self, job: dict[str, Any], load: Load) -> Result:
        begin = time.perf_counter()
        busy = 0.0
        for number in range(load.count):
            seconds = self._generate(numbered(job, number))
            busy += sum(seconds[stage] for stage in STAGES)
        total = time.perf_counter() - begin
        return Result(60 * load.count / total, busy / total)

    def _generate(self, job: dict[str, Any]) -> dict[str, float]:
        seconds: dict[str, float] = {}
        request, _ = ImageRequest.parse(job, DEV)
        self._generator.generate(request, Inputs(), Event(), seconds=seconds)
        return seconds


def numbered(job: dict[str, Any], number: int) -> dict[str, Any]:
    """Give a job a prompt of its own, whose embeddings no cache has."""
    return {**job, "prompt": f"a red circle on a white background {number}"}


def _measure(url: str, log: Path, job: dict[str, Any], count: int) -> Result:
    post_json(f"{url}/runsync", {"input": numbered(job, -1)})  # the first is slower
    seen = len(busy_seconds(log))
    begin = time.perf_counter()
    inputs = [numbered(job, number) for number in range(count)]
    ids = [post_json(f"{url}/run", {"input": each})["id"] for each in inputs]
    for job_id in ids:
        finished(url, job_id)
    seconds = time.perf_counter() - begin
    return Result(60 * count / seconds, sum(busy_seconds(log)[seen:]) / seconds)


def busy_seconds(log: Path) -> list[float]:
    """Read how long each job had the model from the worker's log lines; others aren't JSON."""
    busy = []
    for line in log.read_text().splitlines():
        if '"message": "job completed"' in line:
            seconds = json.loads(line)["seconds"]
            busy.append(sum(seconds[stage] for stage in STAGES))
    return busy


class Network:
    """What workers ask takes longer to arrive, and so do the answers."""

    def __init__(self, app: ASGIApp) -> None:
        """Stand before the platform."""
        self._app = app
        self.seconds = 0.0
        """Of a round trip."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Hand a request on, half a round trip later, and its answer likewise."""
        if not scope.get("path", "").startswith("/worker/"):
            return await self._app(scope, receive, send)
        half = self.seconds / 2

        async def later(message: Message) -> None:
            if message["type"] == "http.response.start":
                await asyncio.sleep(half)
            await send(message)

        await asyncio.sleep(half)
        await self._app(scope, receive, later)
        return None


@contextmanager
def _serving(settings: dict[str, str], program: Path) -> Iterator[tuple[str, Path, Network]]:
    (port,) = free_ports(1)
    url = f"http://127.0.0.1:{port}"
    with tempfile.TemporaryDirectory() as folder:
        log = Path(folder) / "worker.log"
        server = Server([Endpoint("flux", url, settings, log, program)], port)
        network = Network(server.config.app)  # type: ignore[arg-type]
        server.config.app = network
        with server.in_thread():
            yield url, log, network


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--rounds", type=int, default=1)
    return parser.parse_args()


if __name__ == "__main__":
    main()
