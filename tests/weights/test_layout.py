"""What a folder must hold to be the served model."""

import json
import shutil
from dataclasses import replace

import pytest
from conftest import DEMO

from flux_worker.contract.catalog import DEV
from flux_worker.errors import CannotStart
from flux_worker.weights import layout
from flux_worker.weights.checkpoint import COMPONENTS


def test_complete_weights_lack_nothing():
    assert layout.missing(DEMO) is None


def test_a_missing_shard_is_named(tmp_path):
    shutil.copytree(DEMO, tmp_path / "w")
    folder = tmp_path / "w/transformer"
    whole = folder / "diffusion_pytorch_model.safetensors"
    whole.rename(folder / "diffusion_pytorch_model-00001-of-00002.safetensors")
    index = {"weight_map": {"a": "diffusion_pytorch_model-00001-of-00002.safetensors"}}
    (folder / "diffusion_pytorch_model.safetensors.index.json").write_text(json.dumps(index))
    assert layout.missing(tmp_path / "w") is None
    index["weight_map"]["b"] = "diffusion_pytorch_model-00002-of-00002.safetensors"
    (folder / "diffusion_pytorch_model.safetensors.index.json").write_text(json.dumps(index))
    assert layout.missing(tmp_path / "w") == f"transformer/{index['weight_map']['b']}"


@pytest.mark.parametrize(
    "lost",
    [
        "model_index.json",
        "scheduler/scheduler_config.json",
        *(f"{component}/config.json" for component in COMPONENTS),
    ],
)
def test_a_missing_file_is_named(tmp_path, lost):
    folder = shutil.copytree(DEMO, tmp_path / "w")
    (folder / lost).unlink()
    assert layout.missing(folder) == lost


def test_an_index_that_can_not_be_opened_counts_as_missing(tmp_path):
    folder = shutil.copytree(DEMO, tmp_path / "w")
    (folder / "vae/x.safetensors.index.json").mkdir()
    assert layout.missing(folder) == "vae/x.safetensors.index.json"


@pytest.mark.parametrize("lost", ["tokenizer/tokenizer.json", "tokenizer_2/tokenizer.json"])
def test_weights_without_a_vocabulary_are_incomplete(tmp_path, lost):
    folder = shutil.copytree(DEMO, tmp_path / "w")
    (folder / lost).unlink()
    assert layout.missing(folder) == lost


@pytest.mark.parametrize("content", ["", "{", "[]", "{}", '{"weight_map": 5}'])
def test_a_broken_index_counts_as_missing(tmp_path, content):
    folder = shutil.copytree(DEMO, tmp_path / "w")
    (folder / "vae/x.safetensors.index.json").write_text(content)
    assert layout.missing(folder) == "vae/x.safetensors.index.json"


def test_an_empty_weight_file_counts_as_missing(tmp_path):
    folder = shutil.copytree(DEMO, tmp_path / "w")
    (folder / "vae/diffusion_pytorch_model.safetensors").write_bytes(b"")
    assert layout.missing(folder) == "vae/*.safetensors"


@pytest.mark.parametrize("content", ["", "{}", '{"_class_name": null}'])
def test_an_index_that_names_no_pipeline_counts_as_missing(tmp_path, content):
    folder = shutil.copytree(DEMO, tmp_path / "w")
    (folder / "model_index.json").write_text(content)
    assert layout.missing(folder) == "a readable model_index.json"
    layout.require_class(folder, "w", DEV)  # that is not for it to say


def test_weights_of_another_pipeline_are_refused_by_their_class():
    layout.require_class(DEMO, "w", DEV)
    kontext = replace(DEV, title="FLUX.1-Kontext-dev", pipeline_class="FluxKontextPipeline")
    with pytest.raises(CannotStart) as caught:
        layout.require_class(DEMO, "somebody/flux", kontext)
    assert str(caught.value) == (
        "somebody/flux holds weights for FluxPipeline, and FLUX.1-Kontext-dev needs those for "
        "FluxKontextPipeline: set FLUX_MODEL and MODEL_PATH so that they belong together."
    )
