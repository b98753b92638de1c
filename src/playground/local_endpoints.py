"""The local platform: found where it runs, else started, with the demo weights behind it."""

import json
import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.client import HTTPException
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

from flux_worker.contract.catalog import DEV, MODELS, SCHNELL, ServedModel
from flux_worker.contract.loras import EXTENSION, LocalFile, source
from local_platform.processes import leash
from local_platform.processes.surroundings import demo_weights
from playground.places import Place

START_TIMEOUT = 60.0
"""Seconds until the queue listens; its workers may take longer to load."""


@dataclass(frozen=True)
class Served:
    """An endpoint whose model is known."""

    model: ServedModel
    place: Place
    price_per_megapixel: str = ""
    """Its operator's own, or nothing."""
    is_demo: bool = False
    """Whether the demo model draws there, which knows shapes and colours alone."""
    lora_dir: Path | None = None
    """Its operator's folder of LoRAs, on this machine."""

    @property
    def loras(self) -> list[str]:
        """The files that a request can name, of those that are in its folder now."""
        files = self.lora_dir.glob(f"*{EXTENSION}") if self.lora_dir else ()
        return sorted(each.name for each in files if _can_be_named(each.name))


def find(port: int) -> list[Served]:
    """Return the endpoints of the platform on this port of 127.0.0.1, or none."""
    url = f"http://127.0.0.1:{port}"
    try:
        with urlopen(Request(url, headers={"Accept": "application/json"}), timeout=5) as answer:
            told = json.load(answer)
        return [_served(f"{url}/v2", about) for about in told["endpoints"]]
    except (HTTPException, OSError, ValueError, KeyError, TypeError):
        return []


@contextmanager
def running(port: int) -> Iterator[list[Served]]:
    """Return its endpoints from start to end of a `with` block; one that runs already stays.

    Raises:
        RuntimeError: it doesn't start; it has said why.
    """
    if found := find(port):
        yield found
        return
    # It has an environment of its own: the page's library and the worker's don't go together.
    python = os.environ.get("WORKER_PYTHON") or sys.executable
    models = os.environ.get("MODELS") or f"{DEV.name},{SCHNELL.name}"
    environment = {**os.environ, "PORT": str(port), "MODELS": models}
    platform = leash.start([python, "-m", "local_platform.commands.serve"], environment)
    try:
        deadline = time.monotonic() + START_TIMEOUT
        while not (found := find(port)):
            if platform.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError("The local platform doesn't start, for the reason above.")
            time.sleep(0.1)
        yield found
    finally:
        leash.end(platform)


def _served(base_url: str, about: dict[str, Any]) -> Served:
    model = MODELS[about["FLUX_MODEL"] or DEV.name]
    weights = about["MODEL_PATH"]
    return Served(
        model,
        Place(base_url, about["id"]),
        about["PRICE_PER_MEGAPIXEL"] or "",
        bool(weights) and Path(weights).resolve() == demo_weights(model.name),
        Path(about["LORA_DIR"]) if about["LORA_DIR"] else None,
    )


def _can_be_named(name: str) -> bool:
    try:
        return source(name) == LocalFile(name)
    except ValueError:
        return False
