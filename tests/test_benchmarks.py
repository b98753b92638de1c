"""The benchmarks run here as they do on a GPU, in small."""

import asyncio
import json
import re
import shlex
import shutil
import subprocess
import sys
from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch
import yaml
from cards import FLUX, card
from conftest import ROOT
from huggingface_hub import constants

from benchmarks import clock, full_size, gpu, kernels, lora, rows, throughput
from benchmarks.clock import Clock, Rates
from flux_worker.engine.card import Card

ALONE = """
import runpy, sys
sys.modules["local_platform"] = None  # not in the image
runpy.run_module("benchmarks.gpu", run_name="__main__", alter_sys=True)
"""


@pytest.fixture
def image(tmp_path):
    """A folder with what the image has of the benchmarks."""
    dockerfile = (ROOT / "Dockerfile").read_text().replace("\\\n", " ")
    copied = re.findall(r"benchmarks/\S+\.py", dockerfile)
    (tmp_path / "benchmarks").mkdir()
    for name in copied:
        shutil.copy(ROOT / name, tmp_path / name)
    return tmp_path


@pytest.mark.real
def test_the_gpu_benchmark_runs_in_the_image_and_measures_rows_at_every_size(image):
    names = ("plain diffusers", "+ cuDNN attention", "worker", "worker fp8")
    command = ["--model", "tiny", "--sides", "64,128", "--runs", "3", "--price", "100"]
    done = subprocess.run(
        [sys.executable, "-c", ALONE, *command, "--rows", ",".join(names), "--out", "out"],
        cwd=image,
        capture_output=True,
        text=True,
        timeout=280,
    )
    assert done.returncode == 0, done.stderr
    (table,), (numbers,) = image.glob("out/*.md"), image.glob("out/*.json")
    assert table.read_text() in done.stdout
    measured = json.loads(numbers.read_text())["rows"]
    assert [(row["row"], row["side"]) for row in measured] == [
        (name, side) for name in names for side in (64, 128)
    ]
    for row in measured:
        line = f"| {row['side']}: {row['row']} | "
        cells = next(each for each in table.read_text().splitlines() if each.startswith(line))
        if row["row"] == "+ cuDNN attention":  # which no CPU has: the other rows don't suffer
            assert "No viable backend" in row["reason"]
            assert row["reason"] in table.read_text()
            continue
        assert row["image"] >= row["step"] * 4 + row["decoding"] > 0
        assert row["limit"] > 0
        assert row["attention"] == "aten::_scaled_dot_product_flash_attention_for_cpu"
        assert cells.endswith(f"| {row['image'] * 100:.5f} |")
        exact = row["row"] != "worker fp8"
        assert row["difference"] < 1e-4 if exact else 1e-5 < row["difference"] < 0.1
    for name in names[2:]:
        assert re.search(rf"- {name}: transformer fp(32|8).*, compiled", table.read_text())


@pytest.mark.parametrize("page", ["docs/performance.md", ".github/ISSUE_TEMPLATE/card.yml"])
def test_the_commands_that_a_strangers_card_is_measured_by_are_taken(page):
    text = (ROOT / page).read_text().replace("\\\n", " ")
    commands = re.findall(r"python -m benchmarks\.gpu( --[^`\n]*)", text)
    assert commands
    for command in commands:
        gpu.parse(shlex.split(command))


def test_the_form_for_a_table_is_one():
    form = yaml.safe_load((ROOT / ".github/ISSUE_TEMPLATE/card.yml").read_text())
    assert {"name", "description", "body"} <= set(form)
    ids = [part["id"] for part in form["body"] if part["type"] != "markdown"]
    assert len(ids) == len(set(ids))
    assert all(part["attributes"].get("label") for part in form["body"] if "id" in part)


def test_the_sustained_rate_is_the_mean_of_three_seconds_and_the_burst_the_best(monkeypatch):
    """A card that is twice as fast until it is warm."""
    asked = []

    def each(self, work, times):
        asked.append(times)
        return [0.003, *[0.002] * (times - 1)] if len(asked) == 1 else [0.004] * times

    monkeypatch.setattr(Clock, "each", each)
    rates = clock.matmul_rates(torch.device("cpu"), torch.float32)
    assert asked[1] * 0.002 >= clock.SUSTAINED >= 3
    assert rates.burst == pytest.approx(2 * rates.sustained) == 2 * 1024**3 / 0.002


@pytest.mark.parametrize(
    ("kernel", "named"),
    [
        (
            "cudnn_generated_fort_native_sdpa_sm90_flash_fprop_wgmma_f16_knob_6_128x128x128_4x1x1",
            "cudnn_generated_fort_native_sdpa_sm90_flash_fprop_wgmma_f16_knob_6_128x128x128_4x1x1",
        ),
        (
            "void pytorch_flash::flash_fwd_kernel<pytorch_flash::Flash_fwd_kernel_traits<128, 64>>",
            "pytorch_flash::flash_fwd_kernel",
        ),
        ("void cutlass::device_kernel<flash::FlashAttnFwdSm90<...>>", "flash::FlashAttnFwdSm90"),
        (
            "fmha_cutlassF_bf16_aligned_64x128_rf_sm80(params)",
            "fmha_cutlassF_bf16_aligned_64x128_rf_sm80",
        ),
        ("triton_poi_fused__scaled_dot_product_cudnn_attention_clone_3", None),
        ("sm90_xmma_gemm_bf16bf16_bf16f32_f32_tn_n", None),
    ],
)
def test_an_attention_is_known_by_its_kernels_name(kernel, named):
    assert kernels.attention_in(kernel) == named


def test_the_model_that_is_measured_has_fluxs_size():
    assert replace(full_size.DEV.count(), small_components=FLUX.small_components) == FLUX


def bench(monkeypatch, described):
    """A benchmark that takes this machine's CPU for a card."""
    monkeypatch.setattr(Card, "of", classmethod(lambda cls, device: described))
    monkeypatch.setattr(rows, "matmul_rates", lambda *_: Rates(1, 1))
    monkeypatch.setattr(full_size, "embeddings", lambda *_: {})
    cuda = SimpleNamespace(type="cuda")
    return rows.Bench(full_size.DEV, cuda, torch.bfloat16, 1)


def test_a_card_too_small_for_plain_diffusers_is_measured_by_the_workers_plan(monkeypatch):
    homes = []

    def build(architecture, device, dtype, home):
        homes.append(home)
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 3.00 GiB")

    monkeypatch.setattr(full_size, "build", build)
    small = bench(monkeypatch, card("L4"))
    results = {row.name: small.measure(row, [512, 1024]) for row in rows.ROWS}
    assert {each.reason for name in ("plain diffusers", "+ compile") for each in results[name]} == {
        "its weights take 22.2 GiB"
    }
    assert {each.reason for each in results["worker"]} == {"out of memory"}
    assert {each.reason for each in results["worker fp8"]} == {
        "that is the worker's own plan for this card"
    }
    assert homes == [torch.device("cpu")] * 2  # with a compile cache and without
    assert [each.side for each in results["worker"]] == [512, 1024]


def test_the_gpus_time_is_read_from_log_lines_however_small_a_number_is(tmp_path):
    log = tmp_path / "log"
    fields = {"text_encoding": 3.13e-05, "denoising": 0.5, "per_step": 0.1, "decoding": 0.25}
    lines = [{"message": "job completed", "seconds": fields}, {"message": "job refused"}]
    log.write_text("--- Starting ---\n" + "\n".join(map(json.dumps, lines)))
    assert throughput.busy_seconds(log) == [pytest.approx(0.75, rel=1e-3)]


@pytest.mark.real
def test_what_loras_cost_is_measured_for_steps_changes_and_files(tmp_path, monkeypatch):
    monkeypatch.setattr(constants, "ENDPOINT", constants.ENDPOINT)  # it sets another one
    bench = lora.Bench(full_size.TINY, torch.device("cpu"), 4, tmp_path)
    steps = lora.steps(bench, 64, rounds=1)
    changes = lora.merges(bench, rounds=1)
    files = asyncio.run(lora.files(full_size.TINY, 4, tmp_path, rounds=1))
    assert re.findall(r"\| (.*? LoRAs?) \| [\d.]+ \| [\d.]+ \|", steps) == [
        *("no LoRA", "one LoRA", "two LoRAs"),
    ]
    for name in ("the same one again", "another LoRA", "none again"):
        assert re.search(rf"\| {name} \| [\d.]+ \|", changes)
    for name in ("downloaded", "cached on disk", "held in memory"):
        assert re.search(rf"\| {name} \| [\d.]+ \|", files)
