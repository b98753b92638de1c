"""Streamed blocks that a failed forward pass has left on the card."""

import torch
from conftest import failing
from diffusers.hooks import apply_group_offloading
from torch import nn

from flux_worker.engine import offloading


class Blocks(nn.Module):
    def __init__(self):
        super().__init__()
        self.blocks = nn.ModuleList(nn.Linear(2, 2) for _ in range(3))

    def forward(self, given):
        for block in self.blocks:
            given = block(given)
        return given


def test_what_a_failed_pass_has_left_behind_goes_back(monkeypatch):
    monkeypatch.setattr(torch, "meta", torch.cpu, raising=False)  # group offloading asks for it
    model, card = Blocks(), torch.device("meta")
    apply_group_offloading(model, card, offload_type="block_level", num_blocks_per_group=1)
    group = model.blocks[1]._diffusers_hook.get_hook("group_offloading").group
    back = []
    monkeypatch.setattr(group, "offload_", lambda: back.append(True))
    with failing(model.blocks[1], RuntimeError("out of memory")):
        try:
            model(torch.ones(1, 2, device=card))
        except RuntimeError:
            assert not back
    offloading.settle(model)
    assert back


def test_what_isnt_streamed_is_left_alone():
    offloading.settle(Blocks())
