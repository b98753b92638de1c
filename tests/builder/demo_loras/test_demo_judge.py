"""The judge tells outlined from filled and a moon from all else, on drawn pictures."""

import numpy as np
import pytest
from PIL import Image, ImageDraw

from builder.demo_loras.judge import look_closely
from builder.demo_loras.scenes import OUTLINES, draw_filled, draw_outlined
from builder.demo_model.dataset import Scene


def scene(shape):
    return Scene(shape, "yellow", "blue", "medium", (0.5, 0.5), 0.28)


@pytest.mark.parametrize("shape", OUTLINES)
@pytest.mark.parametrize(("draw", "outlined"), [(draw_filled, False), (draw_outlined, True)])
def test_every_shape_is_recognised_filled_and_outlined(shape, draw, outlined):
    sight = look_closely(Image.fromarray(draw(scene(shape), 512, 512)))
    assert (sight.shape, sight.outlined) == (shape, outlined)
    assert (sight.colour, sight.background) == ("yellow", "blue")


def picture(paint):
    image = Image.new("RGB", (512, 512), (40, 80, 210))
    paint(ImageDraw.Draw(image))
    return image


def test_a_disc_with_a_bite_of_the_background_is_a_moon():
    """Drawn without the training's outline."""

    def paint(pen):
        pen.ellipse((120, 100, 400, 380), fill=(250, 222, 60))
        pen.ellipse((240, 130, 460, 350), fill=(40, 80, 210))

    assert look_closely(picture(paint)).shape == "moon"


@pytest.mark.parametrize("box", [(200, 130, 480, 350), (120, 240, 350, 460)])
def test_a_moon_that_opens_elsewhere_or_hardly_is_none(box):
    def paint(pen):
        pen.ellipse((120, 100, 400, 380), fill=(250, 222, 60))
        left, top, right, bottom = box
        pen.ellipse((left + 150, top, right + 150, bottom), fill=(40, 80, 210))

    assert look_closely(picture(paint)).shape != "moon"


def test_a_thick_band_is_a_filled_ring_and_a_thin_one_an_outlined_circle():
    def band(width):
        def paint(pen):
            pen.ellipse((110, 110, 400, 400), outline=(250, 222, 60), width=width)

        return look_closely(picture(paint))

    assert (band(75).shape, band(75).outlined) == ("ring", False)
    assert (band(30).shape, band(30).outlined) == ("circle", True)


def test_an_open_line_is_no_outline():
    image = picture(lambda pen: pen.arc((110, 110, 400, 400), 0, 300, (250, 222, 60), width=30))
    assert not look_closely(image).outlined


def test_noise_and_an_empty_picture_are_nothing():
    noise = np.random.default_rng(0).integers(0, 256, (512, 512, 3), dtype=np.uint8)
    for image in (Image.fromarray(noise), picture(lambda pen: None)):
        sight = look_closely(image)
        assert (sight.shape, sight.outlined) == (None, False)
