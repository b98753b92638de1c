"""What `make` starts, run as a user does."""

import json
import os
import signal
import subprocess
import sys
from contextlib import contextmanager
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import numpy as np
import pytest
from conftest import ROOT, SMALL
from PIL import Image
from process_table import commands_with

from builder.demo_model.judge import colour_name
from local_platform.processes.api_worker import post_json
from local_platform.processes.ports import free_ports

pytestmark = pytest.mark.real


def run_demo(**environment):
    (ROOT / "out" / "demo.jpg").unlink(missing_ok=True)
    done = subprocess.run(
        [sys.executable, "-m", "local_platform.commands.demo"],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=True,
        timeout=200,
    )
    answers, _, saved = done.stdout.rpartition("\nSaved ")
    return [json.loads(answer + "}") for answer in answers.split("\n}")[:-1]], saved


def test_the_demo_draws_a_prompt_of_ones_own():
    (answer,), saved = run_demo(PROMPT="a blue star")
    assert answer["output"]["cost"] == 0.02097152
    assert saved == "out/demo.jpg: JPEG of 1024x1024 pixels.\n"
    assert Image.open(ROOT / "out" / "demo.jpg").size == (1024, 1024)


def test_the_demo_draws_a_sheet_of_four_prompts():
    answers, saved = run_demo()
    assert [answer["status"] for answer in answers] == ["COMPLETED"] * 4
    assert saved.startswith("out/demo.jpg: JPEG")
    sheet = Image.open(ROOT / "out" / "demo.jpg").convert("RGB")
    corners = [sheet.getpixel(at) for at in ((20, 20), (420, 20), (20, 450), (420, 450))]
    assert [colour_name(np.array(rgb, float)) for rgb in corners] == [
        *("white", "blue", "black", "orange")
    ]


@contextmanager
def ready(module):
    """A program that serves: its port, and what it said; afterwards it has ended on Ctrl-C."""
    port = str(free_ports(1)[0])
    program = subprocess.Popen(
        [sys.executable, "-m", module],
        env={**os.environ, "PORT": port},
        stderr=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        text=True,
    )
    try:
        yield port, next(line for line in program.stderr if line.startswith("Ready: "))
        program.send_signal(signal.SIGINT)
        assert program.wait(timeout=20) == 0
    finally:
        program.kill()


@pytest.mark.parametrize("value", ["x", "-1", "٣", "1" * 5_000])
@pytest.mark.parametrize("name", ["PORT", "WORKERS"])
def test_a_number_that_is_none_is_said(name, value):
    done = subprocess.run(
        [sys.executable, "-m", "local_platform.commands.serve"],
        env={**os.environ, name: value},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 1
    assert done.stderr.startswith(f"{name} must be ")
    assert done.stderr.count("\n") == 1


FROM_ELSEWHERE = ({"Origin": "https://example.com"}, {"Origin": "null"}, {"Host": "example.com"})
"""What a web page's requests bring along."""


def test_serve_sdk_answers_until_it_is_interrupted():
    with ready("local_platform.commands.serve_sdk") as (port, said):
        assert f"http://127.0.0.1:{port}/runsync" in said
        with urlopen(f"http://127.0.0.1:{port}/openapi.json") as response:
            assert "/runsync" in json.load(response)["paths"]
        for header in FROM_ELSEWHERE:
            job = Request(f"http://127.0.0.1:{port}/run", b'{"input": {}}', header)
            with pytest.raises(HTTPError, match="403"):
                urlopen(job)
    assert not commands_with(f"--rp_api_port\0{port}")


def test_serve_answers_until_it_is_interrupted():
    with ready("local_platform.commands.serve") as (port, said):
        assert f"{port}/v2/black-forest-labs-flux-1-dev/runsync" in said
        report = post_json(f"http://127.0.0.1:{port}/runsync", {"input": SMALL})
        assert report["status"] == "COMPLETED"
        assert commands_with(f"{port}/worker/", "environ")
    assert not commands_with(f"{port}/worker/", "environ")
