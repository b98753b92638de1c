"""Real parts for the tests: the demo weights, an S3 server, the worker built on them."""

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from functools import cache
from pathlib import Path
from threading import Event
from typing import Any

import hypothesis
import nodejs
import pytest
from browser import started
from diffusers import FluxPipeline
from playwright.sync_api import Browser
from torch import nn

from flux_worker.adapters.deltas import Weighed
from flux_worker.contract.catalog import DEV, ServedModel
from flux_worker.contract.request import ImageRequest
from flux_worker.delivery.storage import Storage
from flux_worker.engine import pipeline
from flux_worker.generation.generator import Generation, Generator, multiple_of
from flux_worker.generation.inputs import Inputs, fetching
from flux_worker.generation.report import Progress, Report
from flux_worker.pictures.picture_library import Pictures
from flux_worker.serving.gpu import Gpu
from flux_worker.serving.worker import Worker
from flux_worker.settings import Settings
from local_platform.processes import surroundings
from local_platform.processes.s3_server import S3Server

pytest_plugins = ("baking", "containers", "lora_sources", "otlp_collector", "picture_sources")

# A busy machine fails no test.
hypothesis.settings.register_profile("patient", deadline=None)
hypothesis.settings.load_profile("patient")
surroundings.isolate()
# A shell's background job ignores Ctrl-C, and so would the programs that are started here.
signal.signal(signal.SIGINT, signal.default_int_handler)

ROOT = surroundings.ROOT
DEMO = surroundings.DEMO_WEIGHTS
PLAYGROUND_PYTHON = os.environ.get(
    "PLAYGROUND_PYTHON", ROOT / ".venv-playground" / "bin" / "python"
)

SEARCH = """
import logging, sys
from pathlib import Path
from flux_worker.weights import lookup
from flux_worker.errors import CannotStart
from flux_worker.settings import Settings
logging.basicConfig(level="INFO")
try:
    baked, cached = map(Path, sys.argv[1:])
    print(lookup.find(Settings.from_environment(baked), baked, cached).folder)
except CannotStart as reason:
    print(reason)
"""


REAL_PARTS = frozenset(
    {"bake", "browser", "javascript", "pipe", "playground_python", "s3", "search"}
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what uses a model, a server or a program, and begin with it: it takes longest."""
    for item in items:
        if REAL_PARTS & set(getattr(item, "fixturenames", ())):
            item.add_marker(pytest.mark.real)
    items.sort(key=lambda item: "real" not in item.keywords)


@pytest.fixture(autouse=True)
def _no_settings_from_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in Settings.model_fields:
        monkeypatch.delenv(name.upper(), raising=False)


@pytest.fixture(autouse=True)
def _no_lora_for_the_next_test(request: pytest.FixtureRequest) -> Iterator[None]:
    """Give the pipeline that all tests share its own weights back."""
    pipe = request.getfixturevalue("pipe") if "pipe" in request.fixturenames else None
    yield
    loras = getattr(pipe, "loras", None)
    if loras and not loras.holds([]):
        loras.merge([], Event())


@pytest.fixture(scope="session")
def s3() -> Iterator[S3Server]:
    with S3Server() as server:
        yield server


@pytest.fixture(scope="session")
def playground_python() -> Path:
    """The interpreter of the playground's environment, which has gradio and no torch."""
    python = Path(PLAYGROUND_PYTHON)
    if not python.exists():
        pytest.fail(f"{python} is missing: run `make test` once, which creates it", pytrace=False)
    return python


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Chromium; not for the session, since the files after this one need `asyncio.run`."""
    with started() as running:
        yield running


@pytest.fixture(scope="session")
def javascript() -> Callable[..., str]:
    """Run Node.js, with the clients at hand, and return what it prints."""
    nodejs.install()

    def start(*command: str) -> str:
        done = nodejs.run(*command)
        assert done.returncode == 0, done.stderr
        return done.stdout

    return start


@pytest.fixture(scope="session")
def pipe() -> FluxPipeline:
    return pipeline.load(Settings(model_path=str(DEMO), allow_cpu=True))


@pytest.fixture(scope="session")
def generate(pipe: FluxPipeline) -> Callable[..., Generation]:
    """Generate what is asked for by name."""

    def generate(
        model: ServedModel = DEV,
        stop: Event | None = None,
        report: Report = lambda progress: None,
        loras: tuple[Weighed, ...] = (),
        **given: Any,
    ) -> Generation:
        async def bring_loras(_: object) -> tuple[Weighed, ...]:
            return loras

        asked, inputs = request(model, **given), Inputs(loras)
        if asked.image:  # elsewhere a loop may be running
            pictures = Pictures(Settings()).bring
            fetch = fetching(bring_loras, pictures, model, multiple_of(pipe))
            asked, inputs = asyncio.run(fetch(asked))
        return Generator(pipe, model).generate(asked, inputs, stop or Event(), report)

    return generate


@pytest.fixture(scope="session")
def reports(
    generate: Callable[..., Generation],
) -> Callable[..., tuple[Generation, list[Progress]]]:
    """Generate what is asked for by name, and collect what is told meanwhile."""

    def follow(**given: Any) -> tuple[Generation, list[Progress]]:
        told: list[Progress] = []
        return generate(report=told.append, **given), told

    return follow


@pytest.fixture(scope="session")
def gpu(pipe: FluxPipeline) -> Callable[[ServedModel], Gpu]:
    """The demo weights on a thread, one for each model."""
    return cache(lambda model: Gpu(lambda: pipe, model))


@pytest.fixture(scope="session")
def make_worker(gpu: Callable[[ServedModel], Gpu]) -> Callable[..., Worker]:
    """Build a worker on the demo weights from settings given by name, and parts of one's own."""

    def make(parts: Mapping[str, Any] = {}, **settings: Any) -> Worker:
        demo = {"model_path": str(DEMO), "allow_cpu": True, "allow_private_addresses": True}
        read = Settings(**{**demo, **settings})
        return Worker(read, **{"gpu": gpu(read.model), "storage": Storage(read), **parts})

    return make


@pytest.fixture(scope="session")
def bucket_settings(s3: S3Server) -> dict[str, str]:
    return {name.lower(): value for name, value in s3.environment.items()}


@pytest.fixture
def search(tmp_path: Path) -> Callable[..., tuple[str, str]]:
    """Look for weights in a new process, as a cold start does; return the outcome and the log."""

    def run(hub_url: str = "http://127.0.0.1:9", **settings: str) -> tuple[str, str]:
        environment = {
            **os.environ,
            "HF_HOME": str(tmp_path / "hf"),
            "HF_ENDPOINT": hub_url,
            **settings,
        }
        command = [sys.executable, "-c", SEARCH, tmp_path / "baked", tmp_path / "runpod"]
        done = subprocess.run(command, env=environment, capture_output=True, text=True)
        assert "Traceback" not in done.stderr, done.stderr
        return done.stdout.strip(), done.stderr

    return run


def run(worker: Worker, job_input: object, **job: Any) -> dict[str, Any]:
    """Hand a job to the worker, as the SDK does, and return its answer."""
    return asyncio.run(worker.handle({"id": "test", "input": job_input, **job}))


SMALL = {"prompt": "a red circle", "width": 256, "height": 256, "num_inference_steps": 1, "seed": 7}
"""The quickest complete request."""


def request(model: ServedModel = DEV, **given: Any) -> ImageRequest:
    return ImageRequest.parse({**SMALL, **given}, model)[0]


@contextmanager
def before_each_pass(module: nn.Module, action: Callable[[], object]) -> Iterator[None]:
    """Do something before each of a module's forward passes."""

    def act(*_: object) -> None:  # what a hook returns would become the module's input
        action()

    hook = module.register_forward_pre_hook(act)
    try:
        yield
    finally:
        hook.remove()


def failing(module: nn.Module, error: Exception) -> AbstractContextManager[None]:
    """Have a module's forward passes fail."""

    def fail() -> None:
        raise error

    return before_each_pass(module, fail)


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
