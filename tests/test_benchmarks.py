"""The benchmarks run here as they do on a GPU, in small."""

import json
import subprocess
import sys

import pytest
from conftest import ROOT

from benchmarks import throughput

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


def test_the_gpus_time_is_read_from_log_lines_however_small_a_number_is(tmp_path):
    log = tmp_path / "log"
    fields = {"text_encoding": 3.13e-05, "denoising": 0.5, "per_step": 0.1, "decoding": 0.25}
    lines = [{"message": "job completed", "seconds": fields}, {"message": "job refused"}]
    log.write_text("--- Starting ---\n" + "\n".join(map(json.dumps, lines)))
    assert throughput.busy_seconds(log) == [pytest.approx(0.75, rel=1e-3)]
