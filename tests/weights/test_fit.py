"""Which weights the served model can be made from, and what is said of others."""

import json
import shutil
from dataclasses import replace

import pytest
import torch
from conftest import DEMO
from safetensors.torch import load_file, save_file

from flux_worker.contract.catalog import DEV
from flux_worker.errors import CannotStart
from flux_worker.weights import fit, layout
from flux_worker.weights.layout import Unusable


@pytest.fixture
def weights(tmp_path):
    return shutil.copytree(DEMO, tmp_path / "w")


def change(file, **values):
    file.write_text(json.dumps({**json.loads(file.read_text()), **values}))


def refusal(folder):
    with pytest.raises(CannotStart) as caught:
        fit.require(folder, "somebody/flux", DEV)
    return str(caught.value)


def test_the_served_models_weights_fit():
    fit.require(DEMO, "w", DEV)


def test_weights_of_another_pipeline_are_refused_by_their_class():
    kontext = replace(DEV, title="FLUX.1-Kontext-dev", pipeline_classes=("FluxKontextPipeline",))
    with pytest.raises(CannotStart) as caught:
        fit.require(DEMO, "somebody/flux", kontext)
    assert str(caught.value) == (
        "somebody/flux holds weights for FluxPipeline, and FLUX.1-Kontext-dev needs those for "
        "FluxKontextPipeline: set FLUX_MODEL and MODEL_PATH so that they belong together."
    )


@pytest.mark.parametrize("name", ["FluxImg2ImgPipeline", "FluxInpaintPipeline"])
def test_pipelines_of_the_same_components_fit(weights, name):
    change(weights / "model_index.json", _class_name=name)
    fit.require(weights, "w", DEV)


def test_a_transformer_that_takes_an_image_besides_is_refused(weights):
    """FLUX.1-Fill takes 384 channels, Canny and Depth 128; FLUX.1-dev takes 64."""
    latent = json.loads((weights / "vae/config.json").read_text())["latent_channels"]
    change(weights / "transformer/config.json", in_channels=24 * latent)
    assert refusal(weights) == (
        f"The transformer of somebody/flux takes {24 * latent} channels, and FLUX.1-dev's takes "
        f"{4 * latent}: more are those of FLUX.1-Fill, Canny and Depth, which aren't served. Set "
        "MODEL_PATH to weights of another model."
    )


@pytest.mark.parametrize("component", ["transformer", "text_encoder_2", "vae"])
def test_quantized_weights_are_refused_by_their_config(weights, component):
    change(weights / component / "config.json", quantization_config={"load_in_4bit": True})
    assert refusal(weights) == (
        f"somebody/flux is quantized ({component}/config.json has a quantization_config), and "
        "only full weights are read: set MODEL_PATH to those that it was made from, and "
        "PRECISION=fp8 for half the memory."
    )


@pytest.mark.parametrize("component", layout.WEIGHTS)
def test_quantized_weights_are_refused_by_their_numbers(weights, component):
    (file,) = (weights / component).glob("*.safetensors")
    tensors = load_file(file)
    save_file({**tensors, next(iter(tensors)): torch.zeros(2, dtype=torch.uint8)}, file)
    assert f"is quantized (its {component} holds U8 numbers)" in refusal(weights)


def test_counters_in_the_small_parts_are_no_sign_of_quantization(weights):
    """Older files of CLIP hold the positions of its tokens."""
    (file,) = (weights / "text_encoder").glob("*.safetensors")
    save_file({**load_file(file), "position_ids": torch.arange(2)}, file)
    fit.require(weights, "w", DEV)


def test_damaged_weights_are_not_taken_for_others(weights):
    (file,) = (weights / "vae").glob("*.safetensors")
    file.write_bytes(file.read_bytes()[:-1])
    with pytest.raises(Unusable, match=f"vae/{file.name} can't be read"):
        fit.require(weights, "w", DEV)
