"""Weights from the Hub: what is taken, and what is said when they can't be had."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest
from conftest import DEMO, SEARCH
from hub_server import hub
from waiting import until

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
    assert log.count("Downloaded 0.01 of") <= 1
    assert log.count("Downloaded 0.01 GB in ") == 1


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


QUICK = (
    "from flux_worker.weights import lease; lease.DEAD_AFTER, lease.BEAT, lease.POLL = 3, 0.3, 0.1"
)


@dataclass
class Start:
    """A worker that looks for its weights, in a process of its own."""

    process: subprocess.Popen[str]
    log_file: Path

    @property
    def log(self) -> str:
        return self.log_file.read_text()

    def outcome(self) -> str:
        return self.process.communicate(timeout=120)[0].strip()


@pytest.fixture
def start(tmp_path):
    """Begin to look for weights, where other workers do so, too; all share a cache."""
    begun = []

    def run(hub_url):
        log_file = tmp_path / f"{len(begun)}.log"
        command = [sys.executable, "-c", QUICK + SEARCH, tmp_path / "baked", tmp_path / "runpod"]
        environment = {**os.environ, "HF_HOME": str(tmp_path / "hf"), "HF_ENDPOINT": hub_url}
        with log_file.open("w") as log:
            process = subprocess.Popen(
                command, env=environment, stdout=subprocess.PIPE, stderr=log, text=True
            )
        begun.append(process)
        return Start(process, log_file)

    yield run
    for process in begun:
        process.kill()
        process.wait()


TRANSFORMER = "transformer/diffusion_pytorch_model.safetensors"
WAITS = "Another worker downloads"


def test_of_workers_that_start_together_one_downloads(start):
    with hub({DEV: DEMO}) as server:
        server.stops_in = TRANSFORMER
        workers = [start(server.url) for _ in range(3)]
        until(lambda: sum(WAITS in each.log for each in workers) == 2)
        until(server.has_stopped.is_set)
        server.goes_on.set()
        (found,) = {each.outcome() for each in workers}
    require_complete(Path(found))
    assert len(server.served) == len(set(server.served))
    assert sum("found (Hugging Face cache)" in each.log for each in workers) == 2


def test_a_download_that_was_killed_is_gone_on_with_by_the_next_worker(start, tmp_path):
    with hub({DEV: DEMO}) as server:
        server.stops_in = TRANSFORMER
        killed = start(server.url)
        until(server.has_stopped.is_set)
        until(lambda: list(tmp_path.glob("hf/hub/*/snapshots/*/vae/*.safetensors")))
        killed.process.kill()
        assert list(tmp_path.rglob("*.incomplete"))
        (snapshot,) = tmp_path.glob("hf/hub/*/snapshots/*")
        came_whole = {str(each.relative_to(snapshot)) for each in snapshot.rglob("*.*")}
        server.stops_in = ""
        server.served.clear()
        found = start(server.url).outcome()
    require_complete(Path(found))
    assert TRANSFORMER in server.served
    assert not came_whole & set(server.served)
    assert not list(tmp_path.rglob("*.incomplete"))
    assert not list(tmp_path.rglob("flux-worker.*"))


def test_a_stopped_download_is_not_waited_for_and_comes_to_the_same_when_it_goes_on(start):
    with hub({DEV: DEMO}) as server:
        server.stops_in = TRANSFORMER
        stopped = start(server.url)
        until(server.has_stopped.is_set)
        stopped.process.send_signal(signal.SIGSTOP)
        server.stops_in = ""
        found = start(server.url).outcome()  # by now the library's locks are the stopped one's
        server.goes_on.set()
        stopped.process.send_signal(signal.SIGCONT)
        assert stopped.outcome() == found
    require_complete(Path(found))
    assert "This worker stood still, so that another one went on" in stopped.log


def test_a_disk_that_is_too_small_is_said_before_the_download(search, tmp_path):
    with hub({DEV: DEMO}) as server:
        server.sizes = {TRANSFORMER: 10**18}
        reason, _ = search(server.url)
    assert re.match(
        rf"{DEV} needs 1000000000\.0 GB more in {tmp_path}/hf/hub/\S+, and the disk has "
        r"\d+\.\d GB free: give the endpoint's container disk as many GB more, set HF_HOME to",
        reason,
    )
    assert not [name for name in server.served if name.endswith(".safetensors")]


def test_a_file_that_was_cut_off_here_is_downloaded_again(search):
    with hub({DEV: DEMO}) as server:
        found, _ = search(server.url)
        file = (Path(found) / TRANSFORMER).resolve()
        file.write_bytes(file.read_bytes()[:-1000])
        server.served.clear()
        again, log = search(server.url)
    assert again == found
    assert f"{TRANSFORMER} has not the size that the Hub lists: it is downloaded again" in log
    assert server.served == [TRANSFORMER]


def test_a_file_that_the_repository_lacks_is_named(search, tmp_path):
    repository = shutil.copytree(DEMO, tmp_path / "repository")
    index = repository / f"{TRANSFORMER}.index.json"
    index.write_text(json.dumps({"weight_map": {"x": "not-there.safetensors"}}))
    with hub({DEV: repository}) as server:
        reason, _ = search(server.url)
    assert "transformer/not-there.safetensors is missing" in reason


def test_what_comes_with_other_bytes_than_the_hub_lists_is_not_kept(search, tmp_path):
    with hub({DEV: DEMO}) as server:
        server.damaged = TRANSFORMER
        reason, _ = search(server.url)
        assert reason.startswith(f"{TRANSFORMER} of {DEV} has come damaged, and was removed: start")
        assert not list(tmp_path.glob(f"hf/hub/*/snapshots/*/{TRANSFORMER}"))
        server.damaged = ""
        found, _ = search(server.url)
    require_complete(Path(found))
