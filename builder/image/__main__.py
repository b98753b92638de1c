"""Builds the worker's image and says how large each layer is: `make image`.

`python -m builder.image --tag NAME …`, where all other options go to the engine, such as
`--build-arg=BAKE=schnell`. BASE_IMAGE, where it is set, is built on.
"""

import argparse
import os
import re
import sys
import time
from pathlib import Path
from subprocess import CalledProcessError

from builder.image import engines
from builder.image.engines import Engine

ROOT = Path(__file__).resolve().parents[2]
TAG = "flux-worker"


def main() -> None:
    """Build, and print the layers."""
    parser = argparse.ArgumentParser(prog="python -m builder.image", description=__doc__)
    parser.add_argument("--tag", default=TAG, help="the image's name; by default %(default)s")
    given, options = parser.parse_known_args()
    engine = engines.find()
    begin = time.perf_counter()
    base_image = os.environ.get("BASE_IMAGE") or official_base()
    try:
        engine.build(ROOT, given.tag, {"BASE_IMAGE": base_image}, *options)
    except CalledProcessError:
        sys.exit(f"{engine.name} couldn't build the image: its own message stands above.")
    print(report(engine, given.tag, time.perf_counter() - begin))


def official_base() -> str:
    """The image that the Dockerfile is written for."""
    (name,) = re.findall(r"^ARG BASE_IMAGE=(\S+)", (ROOT / "Dockerfile").read_text(), re.M)
    return str(name)


def report(engine: Engine, tag: str, seconds: float) -> str:
    """A table of the layers that hold something, and how long the build took."""
    built = f"{tag}, built in {seconds:.0f} s"
    layers = [layer for layer in engine.layers(tag) if layer[0]]
    if not layers:
        return built
    rows = [f"{size / 1e6:9.1f} MB  {_short(made_by)}" for size, made_by in layers]
    return "\n".join([*rows, f"{sum(size for size, _ in layers) / 1e6:9.1f} MB  {built}"])


def _short(instruction: str) -> str:
    noise = r"/bin/sh -c (#\(nop\) )?|# buildkit|\|\d+ |\b[A-Z_]+=\S+ |--mount=\S+ "
    words = re.sub(noise, "", instruction).split()
    line = " ".join(words)
    return line if len(line) <= 90 else f"{line[:89]}…"


if __name__ == "__main__":
    main()
