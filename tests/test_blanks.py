"""Blank variables of libraries, as a form sends them for fields that were left empty."""

import json
import os
import subprocess
import sys

import pytest
from conftest import ROOT

CONSTANTS = """
import json
from flux_worker import blanks
from huggingface_hub import constants
print(json.dumps([constants.ENDPOINT, constants.HF_HUB_CACHE]))
"""


def read(home, **environment):
    """What huggingface_hub makes of an environment."""
    inherited = {k: v for k, v in os.environ.items() if not k.startswith(("HF_", "XDG_"))}
    done = subprocess.run(
        [sys.executable, "-c", CONSTANTS],
        env={**inherited, "HOME": str(home), **environment},
        cwd=ROOT / "src",
        capture_output=True,
        check=True,
    )
    return json.loads(done.stdout)


@pytest.mark.parametrize("blank", ["", " \n"])
def test_blank_ones_are_as_unset(tmp_path, blank):
    names = ("HF_ENDPOINT", "HF_HOME", "HF_HUB_CACHE", "XDG_CACHE_HOME")
    endpoint, cache = read(tmp_path, **dict.fromkeys(names, blank))
    assert endpoint == "https://huggingface.co"
    assert cache == f"{tmp_path}/.cache/huggingface/hub"


def test_others_are_taken_without_the_blanks_around_them(tmp_path):
    endpoint, cache = read(tmp_path, HF_ENDPOINT="http://mirror\n", HF_HOME=f" {tmp_path}/hf ")
    assert endpoint == "http://mirror"
    assert cache == f"{tmp_path}/hf/hub"
