"""The demo's LoRAs are seen: a new shape and a style, alone and together, at several scales."""

from pathlib import Path

import numpy as np
import pytest
from conftest import ROOT
from drawing import draw
from PIL import Image

from builder.demo_loras.judge import look_closely
from flux_worker.adapters import reading

pytestmark = pytest.mark.real

MOON = {"prompt": "a yellow moon on a green background", "seed": 1}
CIRCLE = {"prompt": "a red circle on a blue background", "seed": 1}
SETTING = {"width": 512, "height": 512, "guidance": 3.5, "num_inference_steps": 14}


@pytest.fixture(scope="module")
def loras(pipe):
    """As the worker reads them."""
    folder = Path(ROOT, "models", "loras")
    return {
        name: reading.read(folder / f"demo-{name}.safetensors", pipe.loras.layers, 256)
        for name in ("moon", "frame")
    }


@pytest.fixture(scope="module")
def pictures(pipe, loras):
    """Draw with LoRAs by name and scale."""

    def make(scales, **given):
        weighed = [(loras[name], scale) for name, scale in scales.items()]
        return draw(pipe, weighed, **{**SETTING, **given})

    return make


def seen(pixels):
    return look_closely(Image.fromarray(pixels))


def test_the_moon_comes_with_its_lora_and_goes_with_it(pictures):
    before = pictures({}, **MOON)
    assert seen(before).shape != "moon"
    sight = seen(pictures({"moon": 1.0}, **MOON))
    assert (sight.shape, sight.colour, sight.background) == ("moon", "yellow", "green")
    assert np.array_equal(pictures({}, **MOON), before)
