"""How long the first image waits for compilation, with the cache and without; the demo weights.

    python -m benchmarks.first_image [--rounds 3] [--precision fp8]

Seconds from the process's start to the first image, 512×512 in 4 steps: not compiled; compiled,
with nothing kept from before; compiled by a worker that fills COMPILE_CACHE_DIR, and by a later
one that finds it filled.
"""

import argparse
import statistics
import sys
import tempfile

from benchmarks.programs import seconds_until
from benchmarks.table import markdown
from local_platform.processes.surroundings import demo_environment

SAID = b"the first image"
PROGRAM = f"""
from threading import Event
from flux_worker.engine import pipeline
from flux_worker.contract.catalog import DEV
from flux_worker.generation.generator import Generator
from flux_worker.generation.inputs import Inputs
from flux_worker.contract.request import ImageRequest
from flux_worker.settings import Settings

wanted = {{"prompt": "a red circle", "size": "512x512", "num_inference_steps": 4}}
generator = Generator(pipeline.load(Settings.from_environment()), DEV)
generator.generate(ImageRequest.parse(wanted, DEV)[0], Inputs(), Event())
print({SAID.decode()!r}, flush=True)
"""


def main() -> None:
    """Print a Markdown table."""
    options = _options()
    seconds: dict[str, list[float]] = {}
    for _ in range(options.rounds):
        for way, taken in measure(options.precision).items():
            seconds.setdefault(way, []).append(taken)
    medians = {way: statistics.median(taken) for way, taken in seconds.items()}
    eager = medians["not compiled"]
    whole = medians["compiled"] - eager
    rows = []
    for way, median in medians.items():
        waited = max(0.0, median - eager)  # a later worker may well be the quicker one
        rows.append((way, f"{median:.1f}", f"{waited:.1f}", f"{waited / whole:.0%}"))
    print(f"Median of {options.rounds} rounds; bar: a later worker waits at most 15 %.\n")
    print(markdown(("first image", "s", "for compilation, s", "of that without a cache"), rows))


def measure(precision: str) -> dict[str, float]:
    """Start a process each way; return the seconds until its first image."""
    with tempfile.TemporaryDirectory() as scratch:
        cache = {"COMPILE_CACHE_DIR": f"{scratch}/cache"}
        ways = {
            "not compiled": {"COMPILE": "false", "COMPILE_CACHE_DIR": ""},
            "compiled": {"COMPILE_CACHE_DIR": ""},
            "compiled, fills the cache": cache,
            "compiled, finds the cache filled": cache,
        }
        seconds = {}
        for way, settings in ways.items():
            # What inductor itself keeps, there and in the directory for temporary files.
            with tempfile.TemporaryDirectory(dir=scratch) as kept:
                environment = demo_environment(
                    {
                        "COMPILE": "true",
                        "PRECISION": precision,
                        "TORCHINDUCTOR_CACHE_DIR": f"{kept}/inductor",
                        "TMPDIR": kept,
                        **settings,
                    }
                )
                seconds[way] = seconds_until([sys.executable, "-c", PROGRAM], SAID, environment)
    return seconds


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--precision", default="auto", choices=("auto", "fp8"))
    return parser.parse_args()


if __name__ == "__main__":
    main()
