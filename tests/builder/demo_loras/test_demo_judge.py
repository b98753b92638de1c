"""The judge tells a moon from all else and a frame from none, on drawn pictures."""

import numpy as np
import pytest
from PIL import Image, ImageDraw

from builder.demo_loras.judge import look_closely
from builder.demo_loras.scenes import LARGEST_FRAMED, OUTLINES, draw_filled, draw_framed
from builder.demo_model.dataset import Scene

BLUE, YELLOW, RED = (40, 80, 210), (250, 222, 60), (220, 40, 40)


@pytest.mark.parametrize("shape", OUTLINES)
@pytest.mark.parametrize(
    ("draw", "frame", "radius"),
    [
        *((draw_filled, None, radius) for radius in (0.185, 0.28, 0.35)),
        *((draw_framed, "yellow", radius) for radius in (0.185, LARGEST_FRAMED)),
    ],
)
def test_every_shape_is_recognised_with_a_frame_and_without(shape, draw, frame, radius):
    scene = Scene(shape, "yellow", "blue", "medium", (0.5, 0.5), radius)
    sight = look_closely(Image.fromarray(draw(scene, 512, 512)))
    assert (sight.shape, sight.frame) == (shape, frame)
    assert (sight.colour, sight.background) == ("yellow", "blue")


def picture(*discs, frame=None):
    """Discs (left, top, right, bottom, colour) on blue, within a frame of a colour and a width."""
    image = Image.new("RGB", (512, 512), BLUE)
    pen = ImageDraw.Draw(image)
    for *box, colour in discs:
        pen.ellipse(box, fill=colour)
    if frame:
        pen.rectangle((0, 0, 511, 511), outline=frame[0], width=frame[1])
    return look_closely(image)


DISC = (120, 100, 400, 380, YELLOW)


def test_a_disc_with_a_bite_of_the_background_is_a_moon():
    assert picture(DISC, (250, 130, 470, 350, BLUE)).shape == "moon"


@pytest.mark.parametrize("bite", [(50, 130, 270, 350), (150, 230, 370, 450), (350, 130, 570, 350)])
def test_a_moon_that_opens_elsewhere_or_hardly_is_none(bite):
    assert picture(DISC, (*bite, BLUE)).shape != "moon"


def test_a_frame_has_a_colour_of_its_own():
    assert picture(DISC, frame=(RED, 32)).frame == "red"
    assert picture(DISC, frame=(YELLOW, 32)).frame == "yellow"


def test_a_hairline_is_no_frame():
    assert picture(DISC, frame=(YELLOW, 4)).frame is None


def test_noise_and_an_empty_picture_are_nothing():
    noise = np.random.default_rng(0).integers(0, 256, (512, 512, 3), dtype=np.uint8)
    for sight in (look_closely(Image.fromarray(noise)), picture()):
        assert (sight.shape, sight.frame) == (None, None)
