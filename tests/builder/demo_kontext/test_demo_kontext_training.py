"""A few steps of the training to edit: the command goes on later and writes what loads."""

import argparse
import math

import pytest
import torch
from conftest import ROOT
from diffusers import FluxKontextPipeline
from diffusers.models import FluxTransformer2DModel
from PIL import Image

from builder import train_demo_kontext
from builder.demo_kontext import training
from builder.demo_kontext.edits import preferred
from builder.demo_model.latents import TOKEN_SIDE, Size

pytestmark = pytest.mark.real

SMALL = {Size(256, 256): 1.0}


@pytest.fixture(autouse=True)
def _in_small(monkeypatch):
    monkeypatch.setattr(training, "EASY_SIZES", SMALL)
    monkeypatch.setattr(training, "SIZES", SMALL)
    monkeypatch.setattr(training, "compiled", lambda model: model)


def trained(folder, steps):
    options = argparse.Namespace(
        model=ROOT / "models/demo",
        out=folder / "model",
        checkpoints=folder / "checkpoints",
        minutes=math.inf,
        steps=steps,
        export_anyway=False,
    )
    assert train_demo_kontext.train(options)
    return FluxKontextPipeline.from_pretrained(options.out, dtype=torch.float32)


def test_the_command_trains_goes_on_later_and_writes_a_whole_folder(tmp_path):
    trained(tmp_path, 1)
    pipeline = trained(tmp_path, 2)
    saved = torch.load(tmp_path / "checkpoints/edits.pt", weights_only=True)
    assert saved["step"] == 2
    before = FluxTransformer2DModel.from_pretrained(ROOT / "models/demo/transformer")
    pairs = zip(pipeline.transformer.parameters(), before.parameters(), strict=True)
    assert any(not torch.equal(after, weights.float()) for after, weights in pairs)


@pytest.mark.parametrize("width", [512, 1024, 1300])
def test_references_are_as_large_as_the_pipeline_makes_them(width):
    pipeline = FluxKontextPipeline.from_pretrained(ROOT / "models/demo", dtype=torch.float32)
    tokens = []
    pipeline.transformer.register_forward_pre_hook(
        lambda _, __, given: tokens.append(len(given["img_ids"])), with_kwargs=True
    )
    pipeline(
        image=Image.new("RGB", (width, 768)),
        prompt="make it blue",
        height=256,
        width=256,
        max_area=256 * 256,
        num_inference_steps=1,
        output_type="latent",
    )
    assert tokens == [(256 // TOKEN_SIDE) ** 2 + preferred(Size(768, width)).tokens]
