"""What the demo model draws, looked at by an independent judge of colours and shapes."""

import io
import math
from urllib.request import urlopen

import numpy as np
import pytest
from conftest import run
from pictures import png, white_box
from PIL import Image, ImageDraw

from builder.demo_model.judge import look

pytestmark = pytest.mark.real

SIDE = {"width": 512, "height": 512, "seed": 3}


@pytest.fixture(scope="module")
def draw(make_worker):
    def draw(prompt, model="dev", **given):
        answer = run(make_worker(flux_model=model), {**SIDE, "prompt": prompt, **given})
        with urlopen(answer["image_url"]) as response:
            return Image.open(io.BytesIO(response.read()))

    return draw


def wanted(prompt):
    """Colour, shape and background of "a red square on a white background"."""
    words = prompt.split()
    return words[1], words[2], words[5]


def seen_in(picture):
    sight = look(picture)
    return sight.colour, sight.shape, sight.background


PROMPTS = [
    "a red square on a white background",
    "a blue circle on a yellow background",
    "a yellow star on a green background",
    "a white triangle on a purple background",
    "a pink heart on a black background",
]


@pytest.mark.parametrize("prompt", PROMPTS)
def test_the_prompt_is_followed(draw, prompt):
    assert seen_in(draw(prompt)) == wanted(prompt)


@pytest.mark.parametrize(
    ("prompt", "means"),
    [
        ("On a navy background, the golden box", ("yellow", "square", "blue")),
        ("disc, scarlet, with an emerald backdrop.", ("red", "circle", "green")),
    ],
)
def test_other_words_mean_the_same(draw, prompt, means):
    assert seen_in(draw(prompt)) == means


@pytest.mark.parametrize(("width", "height"), [(256, 256), (1024, 768), (768, 1024), (1024, 1024)])
def test_every_size_shows_one_right_shape(draw, width, height):
    prompt = PROMPTS[1]
    assert seen_in(draw(prompt, width=width, height=height)) == wanted(prompt)


RED_CIRCLE = (210, 190, 400, 380)  # to the right of the middle and below it


@pytest.fixture
def picture():
    """A red circle on white, as no model drew it."""
    image = Image.new("RGB", (512, 512), "white")
    ImageDraw.Draw(image).ellipse(RED_CIRCLE, fill=(220, 30, 30))
    return np.asarray(image)


def test_a_low_strength_keeps_the_pictures_colour_and_place(draw, picture):
    made = draw("a star on a white background", image=png(picture), strength=0.3)
    assert look(made).colour == "red"
    assert look(made).centre == pytest.approx((0.6, 0.56), abs=0.03)


@pytest.mark.parametrize("prompt", PROMPTS)
def test_a_high_strength_follows_the_prompt(draw, picture, prompt):
    assert seen_in(draw(prompt, image=png(picture), strength=0.9)) == wanted(prompt)


@pytest.mark.parametrize(
    "prompt", ["a green square on a white background", "a blue circle on a white background"]
)
def test_inside_of_a_mask_it_is_painted_as_asked(draw, picture, prompt):
    mask = white_box(512, 512, 120, 120, 410, 410)
    given = {"image": png(picture), "mask_image": png(mask), "image_format": "png"}
    made = draw(prompt, strength=0.9, **given)
    assert seen_in(made) == wanted(prompt)
    np.testing.assert_array_equal(np.asarray(made)[mask == 0], picture[mask == 0])


def test_width_and_height_are_not_swapped(draw):
    """The object's area is a share of the shorter side, so a swap would show as a stretched one."""
    wide, high = (draw(PROMPTS[0], width=w, height=h) for w, h in ((768, 512), (512, 768)))
    assert (wide.size, high.size) == ((768, 512), (512, 768))
    for picture in (wide, high):
        assert seen_in(picture) == wanted(PROMPTS[0])
        x, y = look(picture).centre
        assert abs(x - 0.5) < 0.1
        assert abs(y - 0.5) < 0.1


@pytest.mark.parametrize("prompt", PROMPTS[:3])
def test_four_steps_are_enough_for_the_colours(draw, prompt):
    colour, _, background = wanted(prompt)
    sight = look(draw(prompt, model="schnell"))
    assert (sight.colour, sight.background) == (colour, background)


def test_guidance_decides_how_much_the_prompt_counts(draw):
    followed = {}
    for guidance in (0, 10):
        pictures = (draw(prompt, guidance=guidance) for prompt in PROMPTS)
        pairs = zip(PROMPTS, pictures, strict=True)
        followed[guidance] = sum(seen_in(picture) == wanted(prompt) for prompt, picture in pairs)
    assert followed[0] <= 1
    assert followed[10] >= 4


def test_a_negative_prompt_takes_its_colour_away(draw):
    prompt = "a square on a white background"
    pairs = []
    for seed in range(5):
        before = look(draw(prompt, seed=seed)).colour
        if before:  # a colour between two has no name
            given = {"negative_prompt": before, "true_cfg_scale": 4}
            pairs.append((before, look(draw(prompt, seed=seed, **given)).colour))
    assert len(pairs) >= 3
    assert sum(before == after for before, after in pairs) <= 1


@pytest.mark.parametrize(("width", "height"), [(256, 256), (1024, 1024)])
def test_the_noise_falls_as_the_paper_shifts_it(pipe, make_worker, width, height):
    """σ' = e^μ / (e^μ + 1/σ - 1), μ linear in the tokens (https://arxiv.org/abs/2403.03206, 5.3.2).

    Colours may survive a wrong shift, so this looks at the times that the transformer is given.
    """
    times = []
    hook = pipe.transformer.register_forward_pre_hook(
        lambda _, __, named: times.append(named["timestep"].item()), with_kwargs=True
    )
    try:
        steps = 4
        run(
            make_worker(),
            {"prompt": "x", "width": width, "height": height, "num_inference_steps": steps},
        )
    finally:
        hook.remove()
    tokens = (width // 32) * (height // 32)
    low, high = (64, 1.2), (1024, 2.5)  # as models/demo/scheduler has it
    mu = low[1] + (high[1] - low[1]) * (tokens - low[0]) / (high[0] - low[0])
    sigmas = [1 - step / steps for step in range(steps)]
    expected = [math.exp(mu) / (math.exp(mu) + 1 / sigma - 1) for sigma in sigmas]
    assert times == pytest.approx(expected, rel=1e-3)


def test_the_judge_tells_a_wrong_prompt():
    image = Image.new("RGB", (300, 200), "white")
    ImageDraw.Draw(image).rectangle((110, 60, 190, 140), fill=(220, 40, 40))
    assert seen_in(image) == wanted("a red square on a white background")
    for wrong in ("a blue square on a white", "a red circle on a white", "a red square on a black"):
        assert seen_in(image) != wanted(wrong + " background")


def test_the_judge_sees_nothing_in_noise():
    noise = np.random.default_rng(0).integers(0, 256, (256, 256, 3), dtype=np.uint8)
    seen = look(Image.fromarray(noise))
    assert (seen.background, seen.colour, seen.shape) == (None, None, None)
