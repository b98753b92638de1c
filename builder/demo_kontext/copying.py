"""Let a few heads start by looking at the reference's token of the same place.

Left to itself the transformer learns where an object is long before it copies an edge: no head of
the demo model looks from one token to exactly one other. Those without which its pictures stay as
they were start with constant queries and keys, so that the rotary angles alone decide.
"""

import torch
from diffusers import FluxTransformer2DModel
from torch import Tensor, nn

HEADS = {
    "transformer_blocks.1": 1,
    "single_transformer_blocks.2": 1,
    "single_transformer_blocks.3": 1,
}
CONTENT = 0.1  # what is left of the queries' and keys' weights
REFERENCE = 0.34  # share of the angles' strength that tells the reference from the picture
WAVES = (0.42, 0.33, 0.25)  # shares of each axis's quickest rotations, one radian a token and less
SHARPNESS = 1.55  # of queries and keys each: the same place gets a quarter to a half of the weight


@torch.no_grad()
def start_copying(model: FluxTransformer2DModel) -> None:
    """Set the heads' queries and keys in place."""
    side = model.config.attention_head_dim
    strength = _strength(model.config.axes_dims_rope)
    used = [number for pair in strength for number in (2 * pair, 2 * pair + 1)]
    for name, head in HEADS.items():
        attention = model.get_submodule(name).attn
        lead = attention.norm_q.weight.abs() * attention.norm_k.weight.abs()
        query, key = torch.zeros(side), torch.zeros(side)
        for pair, share in strength.items():
            # Either number of a pair will do: the one that the normalisation leaves larger.
            at = 2 * pair + int(lead[2 * pair + 1] > lead[2 * pair])
            key[at] = query[at] = (side * share) ** 0.5
        # A place of the reference has 1 as its first coordinate, one of the picture 0.
        query[:2] = _turned(query[:2], 1.0) / attention.norm_q.weight[:2] * lead[:2].max().sqrt()
        parts = ((attention.to_q, attention.norm_q, query), (attention.to_k, attention.norm_k, key))
        for layer, norm, bias in parts:
            _set(layer, slice(head * side, (head + 1) * side), bias)
            # Both heads share the normalisation, so the other one gives back what it gains by it.
            norm.weight[used] *= SHARPNESS
            others = [(1 - head) * side + number for number in used]
            layer.weight[others] /= SHARPNESS
            layer.bias[others] /= SHARPNESS


def _strength(axes: tuple[int, ...]) -> dict[int, float]:
    """The share of each pair of numbers that turns with a place's coordinates."""
    pairs = {0: REFERENCE}
    for start in (axes[0] // 2, (axes[0] + axes[1]) // 2):
        pairs |= {start + wave: (1 - REFERENCE) / 2 * share for wave, share in enumerate(WAVES)}
    return pairs


def _turned(pair: Tensor, angle: float) -> Tensor:
    cos, sin = torch.tensor(angle).cos(), torch.tensor(angle).sin()
    return torch.stack([cos * pair[0] - sin * pair[1], sin * pair[0] + cos * pair[1]])


def _set(layer: nn.Linear, rows: slice, bias: Tensor) -> None:
    layer.weight[rows] *= CONTENT
    layer.bias[rows] = bias
