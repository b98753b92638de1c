"""Weights are baked as the Dockerfile does it: a command a part, in processes of their own."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import ROOT

COMMAND = """
import os, sys
from pathlib import Path
from builder.bake import __main__ as program
from flux_worker import logs
from flux_worker.errors import CannotStart
logs.configure("INFO")
baked, secret, *arguments = sys.argv[1:]
try:
    program.main(arguments, os.environ, Path(baked), Path(secret))
except CannotStart as reason:
    print(reason)
"""
PARTS = ("rest", "text_encoder", "vae", "text_encoder_2", "transformer 1", "transformer 2+")

Bake = Callable[..., tuple[str, str]]


@pytest.fixture
def bake(tmp_path: Path) -> Bake:
    """Bake parts into `baked` until one fails; return why it did, and the log."""

    def run(hub_url: str, bake: str, *parts: str, **environment: str) -> tuple[str, str]:
        log = ""
        for part in parts or PARTS:
            folders = tmp_path / "baked", tmp_path / "secret"
            done = subprocess.run(
                [sys.executable, "-c", COMMAND, *folders, *part.split()],
                cwd=ROOT,
                env={
                    **os.environ,
                    "HF_ENDPOINT": hub_url,
                    "HF_HOME": str(tmp_path / "of-the-build"),
                    "BAKE": bake,
                    **environment,
                },
                capture_output=True,
                text=True,
            )
            assert "Traceback" not in done.stderr, done.stderr
            log += done.stderr
            if done.stdout:
                return done.stdout.strip(), log
        return "", log

    return run
