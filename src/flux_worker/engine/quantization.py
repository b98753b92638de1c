"""Holds linear layers in eight bits by torchao, each output's weights with a scale of their own."""

from collections.abc import Callable
from typing import Any

from torch import nn

from flux_worker.engine.plan import Plan
from flux_worker.weights.checkpoint import MODULATION

Chosen = Callable[[nn.Module, str], bool]
"""Whether to quantize a module of that name."""


def quantize_block(block: nn.Module, plan: Plan) -> None:
    """Quantize the linear layers of one of the transformer's blocks, on the device where it is."""
    precision = plan.precision
    _quantize(block, _is_other, _config(precision, activations=plan.quantized_activations))
    if plan.quantized_modulation:
        # It multiplies a row for each step: too few for int8's units, and for others to matter.
        _quantize(block, _is_modulation, _config(precision, activations=False))


def quantize_text_encoder_block(block: nn.Module) -> None:
    """Hold the linear layers of one of T5's blocks in fp8."""
    _quantize(block, _is_linear, _config("fp8", activations=False))


def _is_linear(module: nn.Module, _: str) -> bool:
    return isinstance(module, nn.Linear)


def _is_modulation(module: nn.Module, name: str) -> bool:
    return _is_linear(module, name) and bool(MODULATION.search(name))


def _is_other(module: nn.Module, name: str) -> bool:
    return _is_linear(module, name) and not MODULATION.search(name)


def _config(precision: str, activations: bool) -> Any:
    """Return torchao's name for it."""
    # Not above: the import takes seconds, and most plans need none of it.
    from torchao import quantization

    kinds = {
        ("fp8", False): quantization.Float8WeightOnlyConfig,
        ("fp8", True): quantization.Float8DynamicActivationFloat8WeightConfig,
        ("int8", False): quantization.Int8WeightOnlyConfig,
        ("int8", True): quantization.Int8DynamicActivationInt8WeightConfig,
    }
    # torchao would have inductor search for the quickest form of each kernel, at every cold start.
    return kinds[precision, activations](
        granularity=quantization.PerRow(), set_inductor_config=False
    )


def _quantize(block: nn.Module, chosen: Chosen, config: Any) -> None:
    from torchao import quantization

    quantization.quantize_(block, config, chosen)
