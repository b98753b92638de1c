"""The benchmarks run here as they do on a GPU, in small."""

import json
import subprocess
import sys

import pytest
from conftest import ROOT

pytestmark = pytest.mark.real


def test_the_gpu_benchmark_measures_rows_at_every_size(tmp_path):
    names = ("plain diffusers", "bf16 best", "fp8 best")
    command = ["-m", "benchmarks.gpu", "--model", "tiny", "--sides", "64,128", "--runs", "3"]
    done = subprocess.run(
        [sys.executable, *command, "--rows", ",".join(names), "--out", str(tmp_path)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=280,
    )
    assert done.returncode == 0, done.stderr
    (table,), (numbers,) = tmp_path.glob("*.md"), tmp_path.glob("*.json")
    assert table.read_text() in done.stdout
    rows = json.loads(numbers.read_text())["rows"]
    assert [(row["row"], row["side"]) for row in rows] == [
        (name, side) for name in names for side in (64, 128)
    ]
    for row in rows:
        assert row["image"] >= row["step"] * 4 + row["decoding"] > 0
        assert row["limit"] > 0
        exact = row["row"] != "fp8 best"
        assert row["difference"] < 1e-4 if exact else 1e-5 < row["difference"] < 0.1
