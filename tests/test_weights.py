import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import DEMO
from hub_server import COMMIT, hub

from flux_worker import weights
from flux_worker.errors import CannotStart
from flux_worker.settings import Settings

SEARCH = """
import logging, sys
from pathlib import Path
from flux_worker import weights
from flux_worker.errors import CannotStart
from flux_worker.settings import Settings
logging.basicConfig(level="INFO")
try:
    print(weights.find(Settings.from_environment(), Path(sys.argv[1]), Path(sys.argv[2])))
except CannotStart as reason:
    print(reason)
"""


@pytest.fixture
def search(tmp_path):
    """Look for weights in a new process, as a cold start does; return the outcome and the log."""

    def run(hub_url="http://127.0.0.1:9", **settings):
        environment = {
            **os.environ,
            "HF_HOME": str(tmp_path / "hf"),
            "HF_ENDPOINT": hub_url,
            **settings,
        }
        command = [sys.executable, "-c", SEARCH, tmp_path / "baked", tmp_path / "runpod"]
        done = subprocess.run(command, env=environment, capture_output=True, text=True)
        assert "Traceback" not in done.stderr, done.stderr
        return done.stdout.strip(), done.stderr

    return run


def hub_layout(cache: Path, repository: str) -> Path:
    folder = cache / f"models--{repository.replace('/', '--')}"
    snapshot = folder / "snapshots" / COMMIT
    shutil.copytree(DEMO, snapshot)
    (folder / "refs").mkdir()
    (folder / "refs" / "main").write_text(COMMIT)
    return snapshot


DEV = "black-forest-labs/FLUX.1-dev"


def test_a_folder_wins():
    assert weights.find(Settings(model_path=str(DEMO))) == DEMO


def test_an_incomplete_folder_is_refused_by_what_it_lacks(tmp_path):
    shutil.copytree(DEMO, tmp_path / "w")
    (tmp_path / "w/vae/diffusion_pytorch_model.safetensors").unlink()
    with pytest.raises(CannotStart, match=r"incomplete: vae/\*.safetensors is missing"):
        weights.find(Settings(model_path=str(tmp_path / "w")))


def test_a_missing_shard_is_named(tmp_path):
    shutil.copytree(DEMO, tmp_path / "w")
    folder = tmp_path / "w/transformer"
    whole = folder / "diffusion_pytorch_model.safetensors"
    whole.rename(folder / "diffusion_pytorch_model-00001-of-00002.safetensors")
    index = {"weight_map": {"a": "diffusion_pytorch_model-00001-of-00002.safetensors"}}
    (folder / "diffusion_pytorch_model.safetensors.index.json").write_text(json.dumps(index))
    assert weights.missing(tmp_path / "w") is None
    index["weight_map"]["b"] = "diffusion_pytorch_model-00002-of-00002.safetensors"
    (folder / "diffusion_pytorch_model.safetensors.index.json").write_text(json.dumps(index))
    assert weights.missing(tmp_path / "w") == f"transformer/{index['weight_map']['b']}"


def test_weights_at_hand_are_taken_in_their_order(search, tmp_path):
    in_cache = hub_layout(tmp_path / "hf/hub", DEV)
    assert search()[0] == str(in_cache)
    in_runpod = hub_layout(tmp_path / "runpod", DEV)
    assert search()[0] == str(in_runpod)
    baked = shutil.copytree(DEMO, tmp_path / "baked" / DEV)
    assert search()[0] == str(baked)
    (baked / "model_index.json").unlink()
    found, log = search()
    assert found == str(in_runpod)
    assert "lack model_index.json: passed over" in log


def test_a_fine_tune_is_looked_for_in_the_same_places(search, tmp_path):
    found = hub_layout(tmp_path / "runpod", "somebody/flux-tuned")
    assert search(MODEL_PATH="somebody/flux-tuned")[0] == str(found)


def test_a_download_takes_the_diffusers_files_alone_and_shows_progress(search, tmp_path):
    repository = shutil.copytree(DEMO, tmp_path / "repository")
    (repository / "flux1-dev.safetensors").write_bytes(b"the transformer once more")
    (repository / "transformer" / "model.bin").write_bytes(b"a pickle")
    (repository / "custom.py").write_text("raise SystemExit")
    with hub({"somebody/flux": repository}) as server:
        found, log = search(server.url, MODEL_PATH="somebody/flux")
        served = set(server.served)
        again, _ = search(MODEL_PATH="somebody/flux")
    assert weights.missing(Path(found)) is None
    assert again == found
    assert "transformer/diffusion_pytorch_model.safetensors" in served
    assert not served & {"flux1-dev.safetensors", "transformer/model.bin", "custom.py"}
    assert "Downloaded 0.01 of 0.01 GB." in log


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
    assert weights.missing(Path(found)) is None


@pytest.mark.parametrize("lost", ["tokenizer/tokenizer.json", "tokenizer_2/tokenizer.json"])
def test_weights_without_a_vocabulary_are_incomplete(tmp_path, lost):
    folder = shutil.copytree(DEMO, tmp_path / "w")
    (folder / lost).unlink()
    assert weights.missing(folder) == lost


@pytest.mark.parametrize("content", ["", "{", "[]", '{"weight_map": 5}'])
def test_a_broken_index_counts_as_missing(tmp_path, content):
    folder = shutil.copytree(DEMO, tmp_path / "w")
    (folder / "vae/x.safetensors.index.json").write_text(content)
    assert weights.missing(folder) == "vae/x.safetensors.index.json"


def test_an_empty_weight_file_counts_as_missing(tmp_path):
    folder = shutil.copytree(DEMO, tmp_path / "w")
    (folder / "vae/diffusion_pytorch_model.safetensors").write_bytes(b"")
    assert weights.missing(folder) == "vae/*.safetensors"


def test_a_broken_reference_in_a_cache_is_passed_over(search, tmp_path):
    hub_layout(tmp_path / "runpod", DEV)
    (tmp_path / f"runpod/models--{DEV.replace('/', '--')}/refs/main").write_bytes(b"\xff\xfe")
    found = hub_layout(tmp_path / "hf/hub", DEV)
    assert search()[0] == str(found)


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
