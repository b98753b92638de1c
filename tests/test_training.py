"""The demo model's training, a few steps of each stage: it runs through, resumes and exports."""

import argparse

import pytest
import torch
from diffusers import FluxPipeline

from builder import train_demo_model
from builder.demo_model import (
    architecture,
    decoder_training,
    flow_training,
    guidance_training,
    vae_training,
)
from builder.demo_model.export import export
from builder.demo_model.latents import Size

pytestmark = pytest.mark.real

STAGES = ("vae", "text", "flow", "guidance", "decoder")


@pytest.fixture(autouse=True)
def _in_small(monkeypatch):
    monkeypatch.setattr(vae_training, "POOL", 70)
    monkeypatch.setattr(decoder_training, "SCENES", {Size(256, 256): 4})
    monkeypatch.setattr(decoder_training, "BATCH_PIXELS", 4 * 256 * 256)
    for module in (flow_training, guidance_training):
        monkeypatch.setattr(module, "compiled", lambda model: model)


def train(folder, steps):
    options = argparse.Namespace(checkpoints=folder, minutes=float("inf"))
    for stage in STAGES:
        setattr(options, f"{stage}_steps", steps)
    pipeline = architecture.pipeline(0)
    assert train_demo_model.train(pipeline, options)
    return pipeline


def test_every_stage_trains_resumes_and_is_exported(tmp_path):
    train(tmp_path / "checkpoints", 1)
    pipeline = train(tmp_path / "checkpoints", 2)
    for stage in STAGES:
        saved = torch.load(tmp_path / f"checkpoints/{stage}.pt", weights_only=True)
        assert saved["step"] == 2
    export(pipeline, tmp_path / "model")
    loaded = FluxPipeline.from_pretrained(tmp_path / "model", dtype=torch.float32)
    (picture,) = loaded("a red circle", width=256, height=256, num_inference_steps=1).images
    assert picture.size == (256, 256)
