import shutil
from pathlib import Path

import pytest
from conftest import DEMO
from hub_server import COMMIT

from flux_worker.errors import CannotStart
from flux_worker.settings import Settings
from flux_worker.weights import lookup


def hub_layout(cache: Path, repository: str) -> Path:
    folder = cache / f"models--{repository.replace('/', '--')}"
    snapshot = folder / "snapshots" / COMMIT
    shutil.copytree(DEMO, snapshot)
    (folder / "refs").mkdir()
    (folder / "refs" / "main").write_text(COMMIT)
    return snapshot


DEV = "black-forest-labs/FLUX.1-dev"


def test_a_folder_wins():
    assert lookup.find(Settings(model_path=str(DEMO))) == DEMO


def test_an_incomplete_folder_is_refused_by_what_it_lacks(tmp_path):
    shutil.copytree(DEMO, tmp_path / "w")
    (tmp_path / "w/vae/diffusion_pytorch_model.safetensors").unlink()
    with pytest.raises(CannotStart, match=r"incomplete: vae/\*.safetensors is missing"):
        lookup.find(Settings(model_path=str(tmp_path / "w")))


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


def test_a_broken_reference_in_a_cache_is_passed_over(search, tmp_path):
    hub_layout(tmp_path / "runpod", DEV)
    (tmp_path / f"runpod/models--{DEV.replace('/', '--')}/refs/main").write_bytes(b"\xff\xfe")
    found = hub_layout(tmp_path / "hf/hub", DEV)
    assert search()[0] == str(found)


def test_a_folder_of_another_pipeline_is_refused(search, tmp_path):
    folder = shutil.copytree(DEMO, tmp_path / "w")
    shutil.rmtree(folder / "text_encoder_2")
    (folder / "model_index.json").write_text('{"_class_name": "StableDiffusionXLPipeline"}')
    reason, _ = search(MODEL_PATH=str(folder))
    assert reason.startswith(
        f"{folder} holds weights for StableDiffusionXLPipeline, and FLUX.1-dev"
    )


def test_the_nearest_weights_are_those_that_are_looked_at_first(tmp_path):
    assert lookup.nearest(Settings(model_path=str(DEMO))) == DEMO
    assert lookup.nearest(Settings(model_path=str(tmp_path / "none"))) is None
