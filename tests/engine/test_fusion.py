"""One projection in place of three computes the same, and costs nothing to make."""

import pytest
import torch
from allocations import Allocated
from diffusers import FluxTransformer2DModel

from flux_worker.engine.fusion import PROJECTIONS, fuse_projections

TINY = {"attention_head_dim": 16, "num_attention_heads": 2, "axes_dims_rope": (4, 6, 6)}
SMALL_INPUTS = {"in_channels": 4, "joint_attention_dim": 8, "pooled_projection_dim": 8}


@pytest.fixture
def transformer():
    model = FluxTransformer2DModel(num_layers=2, num_single_layers=2, **TINY, **SMALL_INPUTS)
    return model.eval().requires_grad_(False)


def test_fused_layers_are_the_three_and_nothing_else(transformer):
    before = transformer.state_dict()
    fuse_projections(transformer)
    after = transformer.state_dict()
    for name in set(after) - set(before):
        attention, layer, kind = name.rsplit(".", 2)
        parts = [before[f"{attention}.{part}.{kind}"] for part in PROJECTIONS[layer]]
        assert torch.equal(after[name], torch.cat(parts)), name
    assert not {"to_q", "add_q_proj"} & {name.split(".")[-2] for name in after}
    assert sum(each.numel() for each in after.values()) == sum(
        each.numel() for each in before.values()
    )


def test_nothing_random_is_drawn_and_nothing_is_to_be_trained(transformer):
    drawn = torch.random.get_rng_state()
    fuse_projections(transformer)
    assert torch.equal(torch.random.get_rng_state(), drawn)
    assert not any(parameter.requires_grad for parameter in transformer.parameters())
    assert not any(module.training for module in transformer.modules())


def test_fusing_takes_one_attentions_projections_more_and_keeps_none():
    layers = 3
    with Allocated() as allocated, torch.device("meta"):
        model = FluxTransformer2DModel(num_layers=layers, num_single_layers=layers)
        held = allocated.peak = allocated.now
        fuse_projections(model)
    width = model.inner_dim
    assert allocated.now == held
    assert allocated.peak - held < 2 * 3 * (width + 1) * width * 4  # text and image, in fp32
