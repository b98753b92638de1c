"""Where the heads look that start as copiers."""

import pytest
import torch
from conftest import ROOT
from diffusers import FluxTransformer2DModel
from diffusers.models.embeddings import apply_rotary_emb

from builder.demo_kontext.copying import HEADS, start_copying
from builder.demo_model.latents import Size

pytestmark = pytest.mark.real

GRID = Size(512, 512)


@torch.no_grad()
def attended(model, name, head):
    """How much each picture token looks at each token of picture and reference."""
    attention, side = model.get_submodule(name).attn, model.config.attention_head_dim
    rows = slice(head * side, (head + 1) * side)
    places = GRID.position_ids(torch.device("cpu")).repeat(2, 1)
    places[GRID.tokens :, 0] = 1
    turns = model.pos_embed(places)
    query, key = (
        apply_rotary_emb(
            norm(layer.bias[rows]).expand(1, len(places), 1, side), turns, sequence_dim=1
        )[0, :, 0]
        for layer, norm in ((attention.to_q, attention.norm_q), (attention.to_k, attention.norm_k))
    )
    return (query @ key.T / side**0.5).softmax(-1)[: GRID.tokens]


@pytest.mark.parametrize(("name", "head"), HEADS.items())
def test_a_token_looks_most_at_the_references_token_of_its_place(name, head):
    model = FluxTransformer2DModel.from_pretrained(ROOT / "models/demo/transformer").float()
    start_copying(model)
    found = attended(model, name, head)
    assert torch.equal(found.argmax(1), GRID.tokens + torch.arange(GRID.tokens))
    assert found.max(1).values.min() > 0.2
