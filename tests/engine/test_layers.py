"""Diffusers' layers are found again, wherever the plan has put them."""

import lora_files
import pytest
import torch
from conftest import DEMO
from diffusers import FluxPipeline

from flux_worker.engine import acceleration, layers
from flux_worker.engine.plan import Plan

pytestmark = pytest.mark.real


@pytest.mark.parametrize(
    "how", [{}, {"modulation": "offloaded"}, {"transformer": "streamed"}, {"precision": "fp8"}]
)
def test_every_linear_layer_of_diffusers_is_there_once_with_its_own_weights(how):
    plain = FluxPipeline.from_pretrained(DEMO, dtype=torch.float32)
    wanted = {
        f"{component}.{name}": module.weight
        for component in ("transformer", "text_encoder")
        for name, module in getattr(plain, component).named_modules()
        if isinstance(module, torch.nn.Linear)
    }
    pipe = FluxPipeline.from_pretrained(DEMO, dtype=torch.float32)
    acceleration.apply(pipe, Plan(**{"precision": "fp32", **how}), torch.device("cpu"))
    found = layers.of(pipe)
    assert sorted(name for layer in found for name in layer.names) == sorted(wanted)
    for layer in found:
        for name in layer.names:
            begin = layer.begin(name)
            ours = layer.module.weight[begin : begin + layer.rows]
            ours = ours.dequantize() if hasattr(ours, "dequantize") and "precision" in how else ours
            assert ours.shape == wanted[name].shape
            assert (ours - wanted[name]).abs().max() < (0.5 if "precision" in how else 1e-12)


def test_the_demos_layers_are_those_of_diffusers(pipe):
    of = lora_files.shapes()
    changeable = pipe.loras.layers
    for name, shape in of.items():
        assert changeable[f"transformer.{name}"] == shape
