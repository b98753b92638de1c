"""What comes to the card while the model is loaded, counted at FLUX's own widths."""

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from allocations import Allocated
from cards import FLUX
from diffusers import FluxTransformer2DModel
from torch import nn
from transformers import T5Config, T5EncoderModel

from flux_worker.contract.catalog import DEV
from flux_worker.engine import placement, planner
from flux_worker.engine.card import Card
from flux_worker.engine.memory import Workload, predict_peak
from flux_worker.engine.plan import GIB
from flux_worker.engine.planner import Overrides
from flux_worker.weights.checkpoint import Checkpoint, StoredTensor

CARD = torch.device("meta")
T5 = T5Config(d_model=4096, d_ff=10240, num_heads=64, num_layers=1, feed_forward_proj="gated-gelu")


def plans():
    """Those of ever smaller cards, down to the smallest that one fits."""
    cards = (
        Card("x", capability, gib * GIB // 2)
        for capability in ((8, 9), (8, 6))
        for gib in range(80, 8, -1)
    )
    chosen = (
        planner.choose(card, 200 * GIB, FLUX, Workload.of(DEV), Overrides()) for card in cards
    )
    # Without a GPU torchao refuses to quantize activations, which takes no memory.
    return list(dict.fromkeys(replace(plan, quantized_activations=False) for plan in chosen))


@pytest.fixture
def pipe(monkeypatch):
    """FLUX with fewer blocks, in host memory that nobody has touched yet."""
    monkeypatch.setattr(torch, "meta", torch.cpu, raising=False)  # group offloading asks for it
    with torch.device("meta"):
        transformer = FluxTransformer2DModel(num_layers=4, num_single_layers=6)
        text_encoder = T5EncoderModel(T5)
    for model in (transformer, text_encoder):
        model.to(torch.bfloat16).eval().requires_grad_(False).to_empty(device="cpu")
    text_encoder.tie_weights()
    small = nn.Linear(1, 1, dtype=torch.bfloat16)
    # As on a real card, a tensor under two names is moved once.
    torch.__future__.set_swap_module_params_on_conversion(True)
    yield SimpleNamespace(
        transformer=transformer,
        text_encoder_2=text_encoder,
        text_encoder=small,
        vae=small,
        scheduler=None,
    )
    torch.__future__.set_swap_module_params_on_conversion(False)


def counts(pipe):
    parts = {
        "transformer": pipe.transformer,
        "text_encoder_2": pipe.text_encoder_2,
        "text_encoder": pipe.text_encoder,
        "vae": nn.Identity(),
    }
    tensors = {
        part: tuple(
            StoredTensor(name, "BF16", tuple(parameter.shape), Path(), 0, 0)
            for name, parameter in model.named_parameters()
        )
        for part, model in parts.items()
    }
    return Checkpoint(Path(), tensors).count()


@pytest.mark.parametrize("plan", plans(), ids=str)
def test_loading_takes_no_more_than_the_plan_says(pipe, plan):
    numbers = counts(pipe)
    with Allocated() as on_card:
        placement.place(pipe, plan, CARD)
    idle = Workload(tokens=0, side=0, steps=0)
    assert on_card.peak < 1.01 * predict_peak(plan, numbers, idle)
