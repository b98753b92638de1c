"""Holds linear layers in fp8 by torchao, each output's weights with a scale of their own."""

from collections.abc import Callable

import torch
from torch import nn

from flux_worker.engine.plan import Plan
from flux_worker.weights.checkpoint import MODULATION

Chosen = Callable[[nn.Module, str], bool]
"""Whether to quantize a module of that name."""


def quantize_block(block: nn.Module, plan: Plan) -> None:
    """Quantize the linear layers of one of the transformer's blocks, on the device where it is."""

    def chosen(module: nn.Module, name: str) -> bool:
        if not _is_linear(module, name):
            return False
        return plan.fp8_modulation or not MODULATION.search(name)

    _quantize(block, chosen, plan.fp8_activations)


def quantize_text_encoder(model: nn.Module, device: torch.device) -> None:
    """Quantize T5's linear layers, each on the device, where all of it stays."""
    _quantize(model, _is_linear, False, device)


def _is_linear(module: nn.Module, _: str) -> bool:
    return isinstance(module, nn.Linear)


def _quantize(
    model: nn.Module, chosen: Chosen, activations: bool, device: torch.device | None = None
) -> None:
    # Not above: the import takes seconds, and most plans need none of it.
    from torchao import quantization

    # torchao would have inductor search for the quickest form of each kernel, at every cold start.
    quietly = {"set_inductor_config": False}
    config = (
        quantization.Float8DynamicActivationFloat8WeightConfig(
            granularity=quantization.PerRow(), **quietly
        )
        if activations
        else quantization.Float8WeightOnlyConfig(**quietly)
    )
    quantization.quantize_(model, config, chosen, device=device)
