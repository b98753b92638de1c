"""Weights from the Hub: what is taken, and what is said when they can't be had."""

import json
import shutil
from pathlib import Path
from types import SimpleNamespace

import pytest
from conftest import DEMO
from hub_server import hub

from flux_worker.weights import download
from flux_worker.weights.layout import require_complete

DEV = "black-forest-labs/FLUX.1-dev"


def test_a_download_takes_the_diffusers_files_alone_and_shows_progress(search, tmp_path):
    repository = shutil.copytree(DEMO, tmp_path / "repository")
    (repository / "flux1-dev.safetensors").write_bytes(b"the transformer once more")
    (repository / "transformer" / "model.bin").write_bytes(b"a pickle")
    (repository / "custom.py").write_text("raise SystemExit")
    with hub({"somebody/flux": repository}) as server:
        found, log = search(server.url, MODEL_PATH="somebody/flux")
        served = set(server.served)
        again, _ = search(MODEL_PATH="somebody/flux")
    require_complete(Path(found))
    assert again == found
    assert "transformer/diffusion_pytorch_model.safetensors" in served
    assert not served & {"flux1-dev.safetensors", "transformer/model.bin", "custom.py"}
    assert "Downloaded 0.01 of 0.01 GB." in log


@pytest.fixture
def clock(monkeypatch):
    """The clock of the progress lines, to be set."""
    clock = SimpleNamespace(now=1000.0)
    monkeypatch.setattr(download, "time", SimpleNamespace(monotonic=lambda: clock.now))
    return clock


def lines(caplog, clock, course, **bar):
    """The lines that are said of a download in the course of (second, bytes)."""
    caplog.set_level("INFO", "flux_worker")
    progress = download.LoggedProgress(**{"unit": "B", "name": "x", **bar})
    begin = clock.now
    for second, done in course:
        clock.now, progress.n = begin + second, done
        progress.refresh()
    return [record.getMessage() for record in caplog.records]


def test_a_download_says_every_five_seconds_how_far_it_is_and_when_it_is_done(caplog, clock):
    seconds = [(0, 0), (1, 1), (5.9, 2), (6, 3), (10.9, 4), (11, 5), (11.5, 8)]
    course = [(second, gigabytes * 10**9) for second, gigabytes in seconds]
    assert lines(caplog, clock, course, total=8 * 10**9) == [
        f"Downloaded {gigabytes}.00 of 8.00 GB." for gigabytes in (1, 3, 5, 8)
    ]


def test_of_a_download_of_unknown_size_what_came_is_said(caplog, clock):
    assert lines(caplog, clock, [(0, 10**9), (1, 2 * 10**9), (5, 3 * 10**9)]) == [
        "Downloaded 1.00 of 1.00 GB.",
        "Downloaded 3.00 of 3.00 GB.",
    ]


def test_files_are_not_counted_as_bytes(caplog, clock):
    assert lines(caplog, clock, [(0, 1), (9, 23)], total=23, unit="it") == []


def test_weights_are_downloaded_in_their_default_precision_alone(search, tmp_path):
    repository = shutil.copytree(DEMO, tmp_path / "repository")
    folder = repository / "transformer"
    whole = folder / "diffusion_pytorch_model.safetensors"
    for variant in ("fp16", "bf16"):
        shutil.copy(whole, whole.with_suffix(f".{variant}.safetensors"))
        shard = f"diffusion_pytorch_model-00001-of-00001.{variant}.safetensors"
        shutil.copy(whole, folder / shard)
        index = json.dumps({"weight_map": {"a": shard}})
        (folder / f"{whole.name}.index.{variant}.json").write_text(index)
    shard = whole.rename(folder / "diffusion_pytorch_model-00001-of-00001.safetensors")
    index = json.dumps({"weight_map": {"a": shard.name}})
    (folder / f"{whole.name}.index.json").write_text(index)
    with hub({"somebody/flux": repository}) as server:
        found, _ = search(server.url, MODEL_PATH="somebody/flux")
    require_complete(Path(found))
    served = [name for name in server.served if name.startswith("transformer/")]
    assert [name for name in served if name.endswith("safetensors")] == [
        f"transformer/{shard.name}"
    ]


@pytest.mark.parametrize("revision", ["v1.0", "refs/pr/3", "f" * 40])
def test_a_pinned_revision_is_downloaded_and_found_again(search, tmp_path, revision):
    pinned = shutil.copytree(DEMO, tmp_path / "pinned")
    (pinned / "scheduler/note.json").write_text("{}")
    wanted = f"somebody/flux@{revision}"
    with hub({"somebody/flux": DEMO, wanted: pinned}) as server:
        newest, _ = search(server.url, MODEL_PATH="somebody/flux")
        found, _ = search(server.url, MODEL_PATH=wanted)
    assert (Path(found) / "scheduler/note.json").exists()
    assert not (Path(newest) / "scheduler/note.json").exists()
    assert search(MODEL_PATH=wanted)[0] == found


@pytest.mark.parametrize("target", ["gone", "diffusion_pytorch_model.safetensors"])
def test_an_evicted_file_is_downloaded_again(search, target):
    with hub({DEV: DEMO}) as server:
        found, _ = search(server.url)
        lost = Path(found) / "vae/diffusion_pytorch_model.safetensors"
        lost.unlink()
        lost.symlink_to(target)
        again, _ = search(server.url)
    assert again == found
    assert lost.stat().st_size > 0


def test_weights_that_arrive_damaged_are_named_with_their_folder(search, tmp_path):
    repository = shutil.copytree(DEMO, tmp_path / "repository")
    file = repository / "vae/diffusion_pytorch_model.safetensors"
    file.write_bytes(file.read_bytes()[:-1])
    with hub({"somebody/flux": repository}) as server:
        reason, _ = search(server.url, MODEL_PATH="somebody/flux")
    assert f"downloaded to {tmp_path}/hf/hub/models--somebody--flux/snapshots/" in reason
    assert "vae/diffusion_pytorch_model.safetensors can't be read" in reason


def test_an_interrupted_download_is_gone_on_with(search, tmp_path):
    with hub({DEV: DEMO}) as server:
        found, _ = search(server.url)
        lost = Path(found) / "vae/diffusion_pytorch_model.safetensors"
        lost.unlink()
        server.served.clear()
        again, _ = search(server.url)
    assert again == found
    assert lost.exists()
    assert "transformer/diffusion_pytorch_model.safetensors" not in server.served


def test_a_repository_of_another_kind_is_refused(search, tmp_path):
    other = tmp_path / "other"
    other.mkdir()
    (other / "config.json").write_text("{}")
    with hub({"somebody/llm": other}) as server:
        reason, _ = search(server.url, MODEL_PATH="somebody/llm")
    assert "isn't a FLUX model in diffusers' format" in reason


@pytest.mark.parametrize("values", [{"in_channels": 384}, {"quantization_config": {"bits": 4}}])
def test_what_does_not_fit_is_refused_before_it_is_downloaded(search, tmp_path, values):
    repository = shutil.copytree(DEMO, tmp_path / "repository")
    file = repository / "transformer/config.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), **values}))
    with hub({"somebody/flux": repository}) as server:
        reason, _ = search(server.url, MODEL_PATH="somebody/flux")
    assert "somebody/flux" in reason
    assert "Set MODEL_PATH to" in reason or "set MODEL_PATH to" in reason
    assert not [name for name in server.served if name.endswith(".safetensors")]


def test_another_pipelines_weights_are_refused_before_they_are_downloaded(search, tmp_path):
    repository = shutil.copytree(DEMO, tmp_path / "repository")
    index = json.loads((repository / "model_index.json").read_text())
    index["_class_name"] = "FluxKontextPipeline"
    (repository / "model_index.json").write_text(json.dumps(index))
    with hub({"somebody/kontext": repository}) as server:
        reason, _ = search(server.url, MODEL_PATH="somebody/kontext")
    assert "somebody/kontext holds weights for FluxKontextPipeline, and FLUX.1-dev needs" in reason
    assert not [name for name in server.served if name.endswith(".safetensors")]
