"""Low-rank changes of a transformer's weights: made, merged, and run without touching the model."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call

Pairs = Mapping[str, tuple[Tensor, Tensor]]  # A (rank, in) and B (out, rank) by layer

ATTENTION = ("attn.to_q", "attn.to_k", "attn.to_v", "attn.to_out.0")
TEXT_ATTENTION = ("attn.add_q_proj", "attn.add_k_proj", "attn.add_v_proj", "attn.to_add_out")
FEED_FORWARD = ("ff.net.0.proj", "ff.net.2")
TEXT_FEED_FORWARD = ("ff_context.net.0.proj", "ff_context.net.2")
SINGLE = ("proj_mlp", "proj_out")
IMAGE_LAYERS = (*ATTENTION, *FEED_FORWARD, *SINGLE)
LAYERS = (*IMAGE_LAYERS, *TEXT_ATTENTION, *TEXT_FEED_FORWARD)


class Adapter(nn.Module):
    """A pair of matrices for each layer: the change is B · A, nothing at first."""

    def __init__(self, shapes: Mapping[str, torch.Size], rank: int) -> None:
        """Take the layers' names and their weights' shapes, (out, in)."""
        super().__init__()
        self.layers = list(shapes)
        self.downs = nn.ParameterList(
            torch.randn(rank, shape[1]) * shape[1] ** -0.5 for shape in shapes.values()
        )
        self.ups = nn.ParameterList(torch.zeros(shape[0], rank) for shape in shapes.values())

    def pairs(self) -> Pairs:
        """A (rank, in) and B (out, rank) by layer."""
        return dict(zip(self.layers, zip(self.downs, self.ups, strict=True), strict=True))

    def frozen_pairs(self) -> Pairs:
        """The same as they are now, no longer trained."""
        pairs = self.pairs().items()
        return {layer: (down.detach().clone(), up.detach().clone()) for layer, (down, up) in pairs}


def adapted_shapes(model: nn.Module, layers: Iterable[str] = LAYERS) -> dict[str, torch.Size]:
    """Name the blocks' linear layers that end so, with their weights' shapes."""
    endings = tuple(f".{layer}" for layer in layers)
    return {
        name: module.weight.shape
        for name, module in model.named_modules()
        if isinstance(module, nn.Linear) and "blocks." in name and name.endswith(endings)
    }


def merged(model: nn.Module, adapters: Iterable[tuple[Pairs, float]]) -> dict[str, Tensor]:
    """The weights that the pairs, each with a scale, change: W + scale · B · A, by name."""
    weights: dict[str, Tensor] = {}
    for pairs, scale in adapters:
        for layer, (down, up) in pairs.items():
            name = f"{layer}.weight"
            weight = weights.get(name, model.get_parameter(name))
            weights[name] = weight + scale * up.float() @ down.float()
    return weights


def with_weights(model: nn.Module, weights: dict[str, Tensor]) -> Callable[..., Any]:
    """The model as it would be with these weights."""

    def run(**inputs: Any) -> Any:
        return functional_call(model, weights, (), inputs)

    return run


@contextmanager
def applied(model: nn.Module, adapters: Iterable[tuple[Pairs, float]]) -> Iterator[None]:
    """Change the model's weights in place, and put the old ones back in the end."""
    weights = merged(model, adapters)
    old = {name: model.get_parameter(name).data for name in weights}
    for name, weight in weights.items():
        model.get_parameter(name).data = weight.detach()
    try:
        yield
    finally:
        for name, weight in old.items():
            model.get_parameter(name).data = weight
