"""Merging: W + scale · B · A, several at once, and the old weights back afterwards."""

import torch
from torch import nn

from builder.demo_loras.adapter import Adapter, adapted_shapes, applied, merged, with_weights


class Block(nn.Module):
    def __init__(self):
        super().__init__()
        self.proj_out = nn.Linear(4, 3, bias=False)
        self.other = nn.Linear(4, 3)

    def forward(self, x):
        return self.proj_out(x)


class Model(nn.Module):
    def __init__(self):
        super().__init__()
        self.blocks = nn.ModuleList([Block()])
        self.proj_out = nn.Linear(4, 3)

    def forward(self, x):
        return self.blocks[0](x)


PAIRS = {"blocks.0.proj_out": (torch.ones(2, 4), torch.full((3, 2), 0.5))}


def test_only_the_blocks_named_layers_are_adapted():
    assert adapted_shapes(Model()) == {"blocks.0.proj_out": torch.Size([3, 4])}


def test_an_untrained_adapter_changes_nothing():
    model = Model()
    pairs = Adapter(adapted_shapes(model), rank=2).frozen_pairs()
    assert torch.equal(
        merged(model, [(pairs, 1.0)])["blocks.0.proj_out.weight"], model.blocks[0].proj_out.weight
    )


def test_two_adapters_add_up_by_their_scales():
    model = Model()
    weights = merged(model, [(PAIRS, 2.0), (PAIRS, -0.5)])
    change = weights["blocks.0.proj_out.weight"] - model.blocks[0].proj_out.weight
    torch.testing.assert_close(change, torch.full((3, 4), 1.5))


def test_applied_weights_work_as_merged_ones_and_go_again():
    model, x = Model(), torch.ones(1, 4)
    before = model(x)
    expected = with_weights(model, merged(model, [(PAIRS, 1.0)]))
    with applied(model, [(PAIRS, 1.0)]):
        torch.testing.assert_close(model(x), before + 4.0)
    assert torch.equal(model(x), before)
    torch.testing.assert_close(expected(x=x), before + 4.0)
