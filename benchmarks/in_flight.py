"""Jobs a minute through the queue: the worker's handler against a plain synchronous one.

    python -m benchmarks.in_flight [--jobs 20] [--side 256] [--steps 4] [--rounds 3]

Both run as real worker processes behind the local platform, with the same weights, the same S3
server and the same jobs, one after the other in each round. The plain handler is what the SDK's
examples show: one function that generates, encodes and uploads, and returns.
"""

import argparse
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.request import urlopen

from benchmarks.table import markdown
from local_platform.api.server import Server
from local_platform.processes import surroundings
from local_platform.processes.api_worker import post_json
from local_platform.processes.ports import free_ports
from local_platform.processes.s3_server import S3Server
from local_platform.processes.surroundings import ROOT, demo_environment
from local_platform.queue.endpoint import Endpoint

KINDS = {
    "plain synchronous handler": (ROOT / "benchmarks" / "plain_handler.py", "1"),
    "worker, JOBS_IN_FLIGHT=1": (ROOT / "handler.py", "1"),
    "worker, JOBS_IN_FLIGHT=2": (ROOT / "handler.py", "2"),
}


STAGES = ("text_encoding", "denoising", "decoding")
"""In which the GPU works, and nothing else may use it."""


def main() -> None:
    """Print a table."""
    surroundings.isolate()
    options = _options()
    results: dict[str, list[tuple[float, float]]] = {kind: [] for kind in KINDS}
    with S3Server() as s3:
        for _ in range(options.rounds):
            for kind, (program, in_flight) in KINDS.items():
                settings = demo_environment({**s3.environment, "JOBS_IN_FLIGHT": in_flight})
                with _serving(settings, program) as (url, log):
                    results[kind].append(_measure(url, log, options))
    base = statistics.median(rate for rate, _ in results["plain synchronous handler"])
    rows = []
    for kind, rounds in results.items():
        rate = statistics.median(rate for rate, _ in rounds)
        idle = statistics.median(idle for _, idle in rounds)
        rows.append((kind, f"{rate:.1f}", f"{rate / base:.2f}", f"{idle:.0%}"))
    print(
        f"{options.jobs} jobs of {options.side}×{options.side}, {options.steps} steps, PNG, "
        f"median of {options.rounds} rounds, {os.cpu_count()} cores:\n"
    )
    print(markdown(("handler", "images a minute", "× plain", "GPU lock idle"), rows))


def _measure(url: str, log: Path, options: argparse.Namespace) -> tuple[float, float]:
    """Queue all jobs at once; return images a minute, and the share of time nothing generates."""
    job = {
        "prompt": "a red circle on a white background",
        "width": options.side,
        "height": options.side,
        "num_inference_steps": options.steps,
        "image_format": "png",
    }
    post_json(f"{url}/runsync", {"input": job})  # the first is slower
    seen = len(busy_seconds(log))
    begin = time.perf_counter()
    ids = [post_json(f"{url}/run", {"input": job})["id"] for _ in range(options.jobs)]
    for job_id in ids:
        _wait(f"{url}/status-sync/{job_id}")
    seconds = time.perf_counter() - begin
    busy = sum(busy_seconds(log)[seen:])
    return 60 * options.jobs / seconds, 1 - busy / seconds


def busy_seconds(log: Path) -> list[float]:
    """Read how long each job had the GPU from the worker's log lines; others aren't JSON."""
    busy = []
    for line in log.read_text().splitlines():
        if '"message": "job completed"' in line:
            seconds = json.loads(line)["seconds"]
            busy.append(sum(seconds[stage] for stage in STAGES))
    return busy


def _wait(url: str) -> None:
    while True:
        with urlopen(url, timeout=300) as response:
            report = json.load(response)
        if report["status"] == "COMPLETED":
            return
        if report["status"] not in ("IN_QUEUE", "IN_PROGRESS"):
            raise RuntimeError(f"a job failed: {report}")


@contextmanager
def _serving(settings: dict[str, str], program: Path) -> Iterator[tuple[str, Path]]:
    (port,) = free_ports(1)
    url = f"http://127.0.0.1:{port}"
    with tempfile.TemporaryDirectory() as folder:
        log = Path(folder) / "worker.log"
        endpoint = Endpoint("flux", url, settings, log, program)
        with Server([endpoint], port).in_thread():
            yield url, log


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--jobs", type=int, default=20)
    parser.add_argument("--side", type=int, default=256, help="pixels")
    parser.add_argument("--steps", type=int, default=4)
    parser.add_argument("--rounds", type=int, default=3)
    return parser.parse_args(sys.argv[1:])


if __name__ == "__main__":
    main()
