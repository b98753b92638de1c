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


@pytest.mark.parametrize("modulation", [False, True])
@pytest.mark.parametrize(("precision", "dtype"), STORED)
def test_the_modulation_is_quantized_only_where_the_plan_says_so(precision, dtype, modulation):
    block = layers_of_a_block()
    quantize_block(block, Plan(precision, quantized_modulation=modulation))
    assert stored(block["proj_out"]) == dtype
    assert (stored(block["norm"].linear) == dtype) == modulation
    assert stored(block["norm_out"]) == torch.bfloat16


def test_int8_multiplies_all_but_the_modulation_in_int8():
    """CUDA's product of int8 matrices wants more than 16 rows; the modulation has one a step."""
    block = layers_of_a_block()
    plan = Plan("int8", quantized_modulation=True, quantized_activations=True)
    quantize_block(block, plan)
    assert block["proj_out"].weight.act_quant_kwargs is not None
    assert block["norm"].linear.weight.act_quant_kwargs is None


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
