"""What the worker costs beside the bare pipeline, on the demo weights.

    python -m benchmarks.overhead [--jobs 15] [--starts 5]

A job: the handler's time, without encoding and upload, beside diffusers' pipeline with the same
weights and inputs, in turn. A start: from the process's begin to where the SDK takes over, beside
one that only imports torch, diffusers, transformers and runpod, in turn.
"""

import argparse
import asyncio
import logging
import statistics
import sys
from functools import partial

import torch
from diffusers import FluxPipeline

from benchmarks.clock import Clock
from benchmarks.programs import seconds_until
from benchmarks.table import markdown
from flux_worker.delivery.storage import Storage
from flux_worker.engine import pipeline
from flux_worker.serving.gpu import Gpu
from flux_worker.serving.worker import Worker
from flux_worker.settings import Settings
from local_platform.processes import surroundings
from local_platform.processes.surroundings import DEMO_WEIGHTS, ROOT, demo_environment

SIDE, STEPS = 512, 8
IMPORTS = (
    "import torch, transformers, runpod; from diffusers import FluxPipeline; print(flush=True)"
)
READY = b"Starting Serverless Worker"


def main() -> None:
    """Print both tables."""
    surroundings.isolate()
    options = _options()
    handler, bare = jobs(options.jobs)
    times = {
        "bare pipeline": bare,
        "worker's handler": handler,
        "overhead (bar: 40)": max(0.0, handler - bare),
    }
    rows = [(name, f"{seconds * 1e3:.0f}") for name, seconds in times.items()]
    print(f"{SIDE}×{SIDE}, {STEPS} steps, median of {options.jobs} jobs:\n")
    print(markdown(("job, without encoding and upload", "ms"), rows), end="\n\n")
    ready, imports = starts(options.starts)
    alone = ("imports alone", f"{imports:.2f}", "1.00")
    ours = ("worker ready (bar: 1.25)", f"{ready:.2f}", f"{ready / imports:.2f}")
    print(f"Median of {options.starts} starts:\n")
    print(markdown(("start", "s", "× imports"), (alone, ours)))


def jobs(count: int) -> tuple[float, float]:
    """Return the median seconds of a job by the handler, and by the bare pipeline."""
    settings = Settings(model_path=str(DEMO_WEIGHTS), allow_cpu=True)
    gpu = Gpu(lambda: pipeline.load(settings), settings.model)
    worker = Worker(settings, gpu, Storage(settings))
    plain = FluxPipeline.from_pretrained(DEMO_WEIGHTS, dtype=torch.float32)
    plain.set_progress_bar_config(disable=True)
    records = _Records()
    logging.getLogger("flux_worker").addHandler(records)
    logging.getLogger("flux_worker").setLevel(logging.INFO)
    logging.getLogger("flux_worker").propagate = False
    clock = Clock(torch.device("cpu"))
    handled, bare = [], []
    for number in range(count + 1):
        # Another prompt each time, whose embeddings no cache has.
        prompt = f"a red circle on a white background {number}"
        sizes = {"width": SIDE, "height": SIDE, "num_inference_steps": STEPS}
        asyncio.run(worker.handle({"id": str(number), "input": {"prompt": prompt, **sizes}}))
        seconds = records.seconds
        handled.append(seconds["total"] - seconds["encode"] - seconds["upload"])
        bare.append(clock.timed(partial(plain, prompt, max_sequence_length=64, **sizes))[0])
    return statistics.median(handled[1:]), statistics.median(bare[1:])


def starts(count: int) -> tuple[float, float]:
    """Return the median seconds until the worker is ready, and of the imports alone."""
    environment = {**demo_environment({}), "PYTHONUNBUFFERED": "1"}
    ready, imports = [], []
    for _ in range(count):
        imports.append(seconds_until([sys.executable, "-c", IMPORTS], b"\n", environment))
        ready.append(seconds_until([sys.executable, str(ROOT / "handler.py")], READY, environment))
    return statistics.median(ready), statistics.median(imports)


class _Records(logging.Handler):
    seconds: dict[str, float]

    def emit(self, record: logging.LogRecord) -> None:
        self.seconds = getattr(record, "fields", {}).get("seconds", {})


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--jobs", type=int, default=15)
    parser.add_argument("--starts", type=int, default=5)
    return parser.parse_args()


if __name__ == "__main__":
    main()
