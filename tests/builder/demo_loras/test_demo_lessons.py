"""A few steps of training: the loss falls, the model stays, and the command writes both files."""

import argparse
import copy
import math

import pytest
import torch
from conftest import ROOT
from diffusers import FluxPipeline

from builder import train_demo_loras
from builder.demo_loras import scenes, training
from builder.demo_loras.adapter import Adapter, adapted_shapes
from builder.demo_loras.training import Lesson, train
from builder.demo_model import batches
from builder.demo_model.latents import Size
from builder.demo_model.stage import Deadline, Stage

pytestmark = pytest.mark.real


@pytest.fixture(scope="module")
def pipeline():
    return FluxPipeline.from_pretrained(ROOT / "models/demo", dtype=torch.float32)


@pytest.fixture(autouse=True)
def _in_small(monkeypatch):
    monkeypatch.setattr(training, "SIZES", {Size(256, 256): 1.0})
    monkeypatch.setattr(batches, "BATCH_TOKENS", 8 * Size(256, 256).tokens)


class Losses(Stage):
    """A stage that keeps what it is shown."""

    def __init__(self, folder, steps):
        super().__init__("frame", folder, steps, Deadline(math.inf))
        self.all = []

    def show(self, name, value):
        self.all.append(value)


def test_a_few_steps_make_the_loss_smaller_and_leave_the_model_alone(pipeline, tmp_path):
    before = copy.deepcopy(pipeline.transformer.state_dict())
    torch.manual_seed(0)
    adapter = Adapter(adapted_shapes(pipeline.transformer), rank=4)
    losses = Losses(tmp_path, 30)
    train(pipeline, adapter, [Lesson(scenes.sample_moon, scenes.draw_framed)], losses)
    assert sum(losses.all[-8:]) < 0.9 * sum(losses.all[:8])
    after = pipeline.transformer.state_dict()
    assert all(torch.equal(before[name], after[name]) for name in before)


def test_the_command_trains_both_and_goes_on_later(pipeline, tmp_path):
    for steps in (1, 2):
        options = argparse.Namespace(checkpoints=tmp_path, moon_steps=steps, frame_steps=steps)
        moon = train_demo_loras.train_moon(pipeline, options)
        frame = train_demo_loras.train_frame(pipeline, options, moon)
    assert set(frame) < set(moon)
    for stage in ("moon", "frame"):
        assert torch.load(tmp_path / f"{stage}.pt", weights_only=True)["step"] == 2
