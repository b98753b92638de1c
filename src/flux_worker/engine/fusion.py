"""Computes query, key and value by one matrix each, in place of three."""

import torch
from diffusers.models.transformers.transformer_flux import FluxAttention
from torch import nn

PROJECTIONS = {
    "to_qkv": ("to_q", "to_k", "to_v"),
    "to_added_qkv": ("add_q_proj", "add_k_proj", "add_v_proj"),
}
"""What diffusers' attention calls the one, and the three that it is made of."""


def fuse_projections(module: nn.Module) -> None:
    """Fuse the projections of every attention in a transformer or a block, one after the other.

    Each takes the memory of its three once more, but only until they are forgotten, at once.
    """
    for attention in module.modules():
        if isinstance(attention, FluxAttention) and not attention.fused_projections:
            _fuse(attention)


def _fuse(attention: FluxAttention) -> None:
    for fused, names in PROJECTIONS.items():
        layers = [layer for name in names if (layer := getattr(attention, name, None)) is not None]
        if not layers:  # a single block's has nothing of its own for the text
            continue
        setattr(attention, fused, _stacked(layers))
        for name in names:
            delattr(attention, name)
    attention.fused_projections = True


@torch.no_grad()
def _stacked(layers: list[nn.Linear]) -> nn.Linear:
    """Return a layer whose outputs are those of all of them, one after the other."""
    # On the meta device: elsewhere it would be filled with random numbers first, for nothing.
    stacked = nn.Linear(
        layers[0].in_features, sum(layer.out_features for layer in layers), device="meta"
    )
    for name in ("weight", "bias"):
        parts = [getattr(layer, name) for layer in layers]
        whole = None if parts[0] is None else nn.Parameter(torch.cat(parts), requires_grad=False)
        stacked.register_parameter(name, whole)
    return stacked.eval()
