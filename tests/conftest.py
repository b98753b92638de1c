"""Real parts for the tests: the demo weights, an S3 server, the worker built on them."""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from diffusers import FluxPipeline
from torch import nn

from flux_worker import pipeline
from flux_worker.catalog import DEV, ServedModel
from flux_worker.generator import Generator
from flux_worker.request import ImageRequest
from flux_worker.settings import Settings
from flux_worker.storage import Storage
from flux_worker.worker import Worker
from local_platform import surroundings
from local_platform.s3_server import S3Server

surroundings.shield()

ROOT = surroundings.ROOT
DEMO = surroundings.DEMO_WEIGHTS


@pytest.fixture(autouse=True)
def _no_settings_from_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in Settings.model_fields:
        monkeypatch.delenv(name.upper(), raising=False)


@pytest.fixture(scope="session")
def s3() -> Iterator[S3Server]:
    with S3Server() as server:
        yield server


@pytest.fixture(scope="session")
def pipe() -> FluxPipeline:
    return pipeline.load(Settings(model_path=str(DEMO), allow_cpu=True))


@pytest.fixture(scope="session")
def make_worker(pipe: FluxPipeline) -> Callable[..., Worker]:
    """Build a worker on the demo weights from settings given by name."""

    def make(**settings: Any) -> Worker:
        read = Settings(**{"model_path": str(DEMO), "allow_cpu": True, **settings})
        return Worker(read, Generator(pipe, read.model), Storage(read))

    return make


@pytest.fixture(scope="session")
def bucket_settings(s3: S3Server) -> dict[str, str]:
    return {name.lower(): value for name, value in s3.environment.items()}


def run(worker: Worker, job_input: object, **job: Any) -> dict[str, Any]:
    """Hand a job to the worker, as the SDK does, and return its answer."""
    return asyncio.run(worker.handle({"id": "test", "input": job_input, **job}))


SMALL = {"prompt": "a red circle", "width": 256, "height": 256, "num_inference_steps": 1, "seed": 7}
"""The quickest complete request."""


def request(model: ServedModel = DEV, **given: Any) -> ImageRequest:
    return ImageRequest.parse({**SMALL, **given}, model)[0]


@contextmanager
def counting_calls(module: nn.Module) -> Iterator[list[dict[str, Any]]]:
    """Collect the arguments of a module's forward passes."""
    calls: list[dict[str, Any]] = []
    collect = module.register_forward_pre_hook(
        lambda _, __, given: calls.append(given), with_kwargs=True
    )
    try:
        yield calls
    finally:
        collect.remove()
