"""Weights from the Hub: what is taken, and what is said when they can't be had."""

import json
import shutil
from pathlib import Path
from types import SimpleNamespace

import pytest
from conftest import DEMO
from hub_server import hub

from flux_worker.weights import download, layout

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
    assert layout.missing(Path(found)) is None
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
    progress = download._LoggedProgress(**{"unit": "B", "name": "x", **bar})
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


def test_gated_weights_need_a_token_with_the_licence_accepted(search):
    with hub({DEV: DEMO}, gated={DEV: "hf_good"}) as server:
        without, _ = search(server.url)
        refused, log = search(server.url, HF_TOKEN="hf_other")
        found, _ = search(server.url, HF_TOKEN="hf_good")
    assert f"is gated and needs HF_TOKEN: accept the licence on {server.url}/{DEV}" in without
    assert "licence isn't accepted by the account of HF_TOKEN" in refused
    assert "hf_other" not in refused + log
    assert layout.missing(Path(found)) is None


@pytest.mark.parametrize("token", ["tök\u00ebn", "a\nb"])
def test_a_token_that_can_not_be_sent_is_not_repeated(search, token):
    with hub({DEV: DEMO}, gated={DEV: "hf_good"}) as server:
        reason, log = search(server.url, HF_TOKEN=token)
    assert "the disk's free space and HF_TOKEN" in reason
    assert token not in reason + log


@pytest.mark.parametrize(
    "path", ["nobody/nothing", "models/demmo", "/no/such/folder", "a b", "~nobody/x", "x" * 300]
)
def test_what_is_neither_folder_nor_repository_says_so(search, path):
    with hub({}) as server:
        reason, _ = search(server.url, MODEL_PATH=path)
    assert reason.startswith(f"{path} is neither a folder here nor a repository")


def test_without_network_the_sentence_says_what_to_set(search):
    assert "can't be reached: set MODEL_PATH to a folder" in search()[0]
    assert "can't be reached: set MODEL_PATH to a folder" in search(HF_HUB_OFFLINE="1")[0]


def test_a_repository_of_another_kind_is_refused(search, tmp_path):
    other = tmp_path / "other"
    other.mkdir()
    (other / "config.json").write_text("{}")
    with hub({"somebody/llm": other}) as server:
        reason, _ = search(server.url, MODEL_PATH="somebody/llm")
    assert "isn't a FLUX model in diffusers' format" in reason


def test_another_pipelines_weights_are_refused_before_they_are_downloaded(search, tmp_path):
    repository = shutil.copytree(DEMO, tmp_path / "repository")
    index = json.loads((repository / "model_index.json").read_text())
    index["_class_name"] = "FluxKontextPipeline"
    (repository / "model_index.json").write_text(json.dumps(index))
    with hub({"somebody/kontext": repository}) as server:
        reason, _ = search(server.url, MODEL_PATH="somebody/kontext")
    assert "somebody/kontext holds weights for FluxKontextPipeline, and FLUX.1-dev needs" in reason
    assert server.served == ["model_index.json"]
