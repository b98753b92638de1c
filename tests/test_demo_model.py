"""What the demo model draws, looked at by an independent judge of colours and shapes."""

import io
from urllib.request import urlopen

import numpy as np
import pytest
from conftest import run
from PIL import Image, ImageDraw

from builder.demo_model.judge import look

SIDE = {"width": 512, "height": 512, "seed": 1}


@pytest.fixture(scope="module")
def draw(make_worker):
    def draw(prompt, model="dev", **given):
        answer = run(make_worker(flux_model=model), {**SIDE, "prompt": prompt, **given})
        with urlopen(answer["image_url"]) as response:
            return Image.open(io.BytesIO(response.read()))

    return draw


PROMPTS = [
    ("a red square on a white background", "red", "white"),
    ("a blue circle on a yellow background", "blue", "yellow"),
    ("on a purple background, a pink heart", "pink", "purple"),
    ("a yellow star on a green background", "yellow", "green"),
]


@pytest.mark.parametrize(("prompt", "colour", "background"), PROMPTS)
def test_colours_follow_the_prompt(draw, prompt, colour, background):
    seen = look(draw(prompt, num_inference_steps=12))
    assert (seen.colour, seen.background) == (colour, background)


@pytest.mark.parametrize(("prompt", "colour", "background"), PROMPTS[:2])
def test_four_steps_are_enough_for_the_colours(draw, prompt, colour, background):
    seen = look(draw(prompt, model="schnell"))
    assert (seen.colour, seen.background) == (colour, background)


def test_a_negative_prompt_takes_its_colour_away(draw):
    prompt = "a square on a white background"
    before = look(draw(prompt, num_inference_steps=8)).colour
    assert before is not None
    given = {"num_inference_steps": 8, "negative_prompt": before, "true_cfg_scale": 4}
    assert look(draw(prompt, **given)).colour != before


def test_the_judge_sees_what_is_there():
    image = Image.new("RGB", (300, 200), "white")
    ImageDraw.Draw(image).rectangle((110, 60, 190, 140), fill=(220, 40, 40))
    seen = look(image)
    assert (seen.background, seen.colour, seen.shape) == ("white", "red", "square")


def test_the_judge_sees_nothing_in_noise():
    noise = np.random.default_rng(0).integers(0, 256, (256, 256, 3), dtype=np.uint8)
    seen = look(Image.fromarray(noise))
    assert (seen.background, seen.colour, seen.shape) == (None, None, None)
