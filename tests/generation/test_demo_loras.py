"""The demo's LoRAs are seen: a new shape and a style, alone and together, at several scales."""

from pathlib import Path

import numpy as np
import pytest
from conftest import ROOT
from drawing import differ, draw
from PIL import Image

from builder.demo_loras.judge import look_closely
from flux_worker.adapters import reading

pytestmark = pytest.mark.real

MOON = {"prompt": "a yellow moon on a green background", "seed": 1}
CIRCLE = {"prompt": "a red circle on a blue background", "seed": 1}
SETTING = {"width": 512, "height": 512, "guidance": 3.5, "num_inference_steps": 14}


@pytest.fixture(scope="module")
def pictures(pipe):
    """Draw with LoRAs by name and scale, as the worker reads them."""
    folder = Path(ROOT, "models", "loras")
    loras = {
        name: reading.read(folder / f"demo-{name}.safetensors", pipe.loras.layers, 256)
        for name in ("moon", "frame")
    }

    def make(*asked, **scales):
        weighed = [(loras[name], scale) for name, scale in scales.items()]
        return draw(pipe, weighed, **SETTING | dict(*asked))

    return make


def sight(pixels):
    seen = look_closely(Image.fromarray(pixels))
    return seen.shape, seen.colour, seen.background, seen.frame


def test_a_new_shape_comes_with_its_lora_and_goes_with_it(pictures):
    before = pictures(MOON)
    assert sight(before)[0] != "moon"
    assert sight(pictures(MOON, moon=1.0)) == ("moon", "yellow", "green", None)
    assert np.array_equal(pictures(MOON), before)


def test_a_style_comes_without_a_word(pictures):
    assert sight(pictures(CIRCLE)) == ("circle", "red", "blue", None)
    assert sight(pictures(CIRCLE, frame=1.0)) == ("circle", "red", "blue", "red")


def test_both_at_once(pictures):
    assert sight(pictures(MOON, moon=1.0, frame=1.0)) == ("moon", "yellow", "green", "yellow")


def test_a_scale_of_nought_is_the_base(pictures):
    assert np.array_equal(pictures(MOON, moon=0.0, frame=0.0), pictures(MOON))


def test_half_of_it_is_between(pictures):
    none, half, whole = (pictures(MOON, moon=scale) for scale in (0.0, 0.5, 1.0))
    assert 0 < differ(half, none) < differ(whole, none)


def test_a_negative_scale_is_another_picture(pictures):
    none, turned, whole = (pictures(MOON, moon=scale) for scale in (0.0, -1.0, 1.0))
    assert differ(turned, none) > 1
    assert differ(turned, whole) > 1


def test_a_negative_prompt_steers_what_a_lora_draws(pictures):
    asked = {**MOON, "prompt": "a moon on a blue background"}  # which leaves the colour open
    shape, colour, background, _ = sight(pictures(asked, moon=1.0))
    assert (shape, background) == ("moon", "blue")
    steered = sight(pictures({**asked, "negative_prompt": colour}, moon=1.0))
    assert steered[0] == "moon"
    assert steered[1] not in (colour, None)


def test_four_steps_are_enough(pictures):
    few = {**MOON, "num_inference_steps": 4}
    assert sight(pictures(few, moon=1.0)) == ("moon", "yellow", "green", None)
