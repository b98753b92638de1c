"""Layers in eight bits: which they are, and what is left alone."""

import pytest
import torch
from torch import nn
from torch._inductor import config as inductor

from flux_worker.engine.plan import Plan
from flux_worker.engine.quantization import quantize_block, quantize_text_encoder_block

STORED = [("fp8", torch.float8_e4m3fn), ("int8", torch.int8)]


def layers_of_a_block():
    layers = {"proj_out": nn.Linear(32, 16), "norm": nn.Module(), "norm_out": nn.LayerNorm(16)}
    layers["norm"].add_module("linear", nn.Linear(32, 16))
    return nn.ModuleDict(layers).to(torch.bfloat16).requires_grad_(False)


def stored(layer):
    return getattr(layer.weight, "qdata", layer.weight).dtype


@pytest.mark.parametrize(("precision", "dtype"), STORED)
def test_of_a_block_every_linear_layer_is_quantized(precision, dtype):
    block = layers_of_a_block()
    quantize_block(block, Plan(precision))
    assert {stored(block["proj_out"]), stored(block["norm"].linear)} == {dtype}
    assert stored(block["norm_out"]) == torch.bfloat16


@pytest.mark.parametrize("activations", [False, True])
def test_activations_are_quantized_as_the_plan_says(activations):
    block = layers_of_a_block()
    quantize_block(block, Plan("int8", quantized_activations=activations))
    kept = getattr(block["proj_out"].weight, "act_quant_kwargs", None)
    assert (kept is not None) == activations


def test_of_the_text_encoder_every_linear_layer_is_quantized():
    block = layers_of_a_block()
    quantize_text_encoder_block(block)
    assert {stored(block["proj_out"]), stored(block["norm"].linear)} == {torch.float8_e4m3fn}


def test_inductor_compiles_as_before():
    """torchao's recommendation has it search for the quickest kernels at every cold start."""
    with inductor.patch(coordinate_descent_tuning=False):
        before = inductor.get_config_copy()
        quantize_block(layers_of_a_block(), Plan("fp8"))
        quantize_text_encoder_block(layers_of_a_block())
        assert inductor.get_config_copy() == before
