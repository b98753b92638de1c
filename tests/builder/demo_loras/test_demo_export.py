"""The committed LoRAs: diffusers' keys, layers that the demo model has, and their size."""

import pytest
import torch
from conftest import ROOT
from diffusers import FluxPipeline, FluxTransformer2DModel
from safetensors import safe_open

from builder.demo_loras.adapter import Adapter, adapted_shapes
from builder.demo_loras.export import BUDGET, export, load
from builder.demo_loras.scenes import MOON

FILES = sorted((ROOT / "models/loras").glob("*.safetensors"))


@pytest.fixture(scope="module")
def model():
    return FluxTransformer2DModel.from_pretrained(ROOT / "models/demo/transformer")


def test_what_is_written_is_read_again_nearly_the_same(model, tmp_path):
    adapter = Adapter(adapted_shapes(model), rank=2)
    torch.nn.init.normal_(adapter.ups[0])
    export(adapter.pairs(), tmp_path / "a.safetensors", "A", trigger="moon")
    pairs = load(tmp_path / "a.safetensors")
    for layer, (down, up) in adapter.frozen_pairs().items():
        torch.testing.assert_close(pairs[layer][0], down, rtol=1e-3, atol=1e-4)
        torch.testing.assert_close(pairs[layer][1], up, rtol=1e-3, atol=1e-4)


def test_both_are_there_and_small():
    assert [path.stem for path in FILES] == ["demo-frame", "demo-moon"]
    assert sum(path.stat().st_size for path in FILES) < BUDGET


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_each_fits_the_demo_model_and_diffusers_takes_it_as_it_is(path, model):
    shapes = adapted_shapes(model)
    for layer, (down, up) in load(path).items():
        assert (up.shape[0], down.shape[1]) == shapes[layer]
        assert up.shape[1] == down.shape[0]
    tensors, alphas = FluxPipeline.lora_state_dict(path, return_alphas=True, use_safetensors=True)
    with safe_open(path, "pt") as file:
        assert set(tensors) == set(file.keys())
    assert not alphas


def test_the_moons_file_tells_its_word():
    with safe_open(ROOT / "models/loras/demo-moon.safetensors", "pt") as file:
        assert file.metadata()["modelspec.trigger_phrase"] == MOON
