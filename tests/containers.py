"""The worker's image, built from the real Dockerfile once, and containers of it."""

import os
import subprocess
import time
from contextlib import contextmanager
from pathlib import Path

import base_image
import pytest
from running_platform import serving

from builder.image import __main__ as image_program
from builder.image import engines

ROOT = Path(__file__).resolve().parents[1]
TAG = "localhost/flux-worker-test"
WORKER = "container"
REPORT = pytest.StashKey[list[str]]()


class Image:
    """The image and the engine that has it."""

    def __init__(self, engine, base, tag):
        self.engine, self.base, self.tag = engine, base, tag

    def build(self, tag, *options, context=ROOT, **arguments):
        self.engine.build(context, tag, {"BASE_IMAGE": self.base, **arguments}, *options)

    def once(self, *command, options=()):
        """Run a command in a container; its output, whichever stream, and its exit status."""
        done = subprocess.run(
            self.engine.run(self.tag, *command, options=options),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        return done.stdout, done.returncode


@pytest.fixture(scope="session")
def image(request):
    engine = engines.find(install=True)
    if engine.name == "buildah":
        pytest.exit("Buildah builds the image and can't run it here: install Podman.", 1)
    base = os.environ.get("BASE_IMAGE") or base_image.reachable(engine)
    begin = time.perf_counter()
    built = Image(engine, base, TAG)
    built.build(TAG)
    lines = image_program.report(engine, TAG, time.perf_counter() - begin).splitlines()
    request.config.stash[REPORT] = [f"built by {engine.name}", *lines, *_skipped(base)]
    return built


def _skipped(base):
    yield "Not tried here: a GPU, FLUX's own weights, a registry."
    if base != image_program.official_base():
        yield f"The base is {base}, not {image_program.official_base()}."


def pytest_terminal_summary(terminalreporter, config):
    if lines := config.stash.get(REPORT, []):
        terminalreporter.section("image")
        for line in lines:
            terminalreporter.write_line(line)


@pytest.fixture
def say(request):
    """Add a line to what is reported at the end."""
    return request.config.stash[REPORT].append


@pytest.fixture
def platform():
    """A queue whose only worker will be a container."""
    with serving(0, {}) as running:
        yield running


class Container:
    """A worker in a container, from its start to its end."""

    def __init__(self, process, log):
        self.process, self.log = process, log

    def wait_for(self, text):
        """Wait until a line of its log has this, and return the line."""
        while True:
            ended = self.process.poll() is not None
            lines = self.log.read_text().splitlines()
            if line := next((each for each in lines if text in each), None):
                return line
            assert not ended, "\n".join(lines)
            time.sleep(0.02)

    def stop(self):
        """Send SIGTERM, and return the exit status."""
        self.process.terminate()
        return self.process.wait(100)


@pytest.fixture
def start(image, platform, s3, tmp_path):
    """Start containers as workers of the platform."""
    running = []

    @contextmanager
    def start(*command, options=(), **settings):
        environment = {
            **platform.endpoint.fleet.sdk_environment(WORKER),
            **s3.environment,
            "ALLOW_CPU": "1",
            "MODEL_PATH": "/app/models/demo",
            "WARMUP_SIZES": "256x256",
            **settings,
        }
        given = [f"--env={name}={value}" for name, value in environment.items()]
        log = Path(tmp_path / f"{len(running)}.log")
        with log.open("wb") as opened:
            process = subprocess.Popen(
                image.engine.run(image.tag, *command, options=[*given, *options]),
                stdout=opened,
                stderr=subprocess.STDOUT,
            )
        running.append(process)
        try:
            yield Container(process, log)
        finally:
            process.terminate()
            process.wait(100)

    return start
