"""Holds linear layers in eight bits by torchao, each output's weights with a scale of their own."""

from typing import Any

from torch import Tensor, nn
from torch.utils._python_dispatch import is_traceable_wrapper_subclass

from flux_worker.engine.plan import Plan


def quantize_block(block: nn.Module, plan: Plan) -> None:
    """Quantize the linear layers of one of the transformer's blocks, on the device where it is."""
    _quantize(block, _config(plan.precision, activations=plan.quantized_activations))


def quantized(weights: Tensor, plan: Plan) -> Tensor:
    """Return a linear layer's weights, (outputs, inputs), as `quantize_block` holds them."""
    layer = nn.Linear(weights.shape[1], weights.shape[0], bias=False, device="meta")
    layer.weight = nn.Parameter(weights, requires_grad=False)
    quantize_block(nn.ModuleList([layer]), plan)
    return layer.weight


def is_quantized(weights: Tensor) -> bool:
    """Whether a layer's weights are held in eight bits."""
    return is_traceable_wrapper_subclass(weights)


def quantize_text_encoder_block(block: nn.Module) -> None:
    """Hold the linear layers of one of T5's blocks in fp8."""
    _quantize(block, _config("fp8", activations=False))


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


def _quantize(block: nn.Module, config: Any) -> None:
    from torchao import quantization

    quantization.quantize_(block, config, lambda module, _: isinstance(module, nn.Linear))
