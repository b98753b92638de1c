import io

import numpy as np
import pytest
from PIL import Image

from flux_worker.delivery.images import encode, read_parameters

rng = np.random.default_rng(0)
NOISE = rng.integers(0, 256, (64, 96, 3), dtype=np.uint8)
RAMP = np.broadcast_to(np.arange(96, dtype=np.uint8)[None, :, None], (64, 96, 3)).copy()


def opened(image):
    return Image.open(io.BytesIO(image.data))


@pytest.mark.parametrize("pixels", [NOISE, RAMP, NOISE[:1, :1], np.zeros_like(NOISE)])
def test_png_keeps_every_pixel(pixels):
    image = encode(pixels, "png")
    assert (image.format.content_type, image.format.extension) == ("image/png", "png")
    assert opened(image).mode == "RGB"
    np.testing.assert_array_equal(np.asarray(opened(image)), pixels)


def test_png_of_noise_is_hardly_larger_than_the_noise():
    pixels = rng.integers(0, 256, (1536, 1536, 3), dtype=np.uint8)
    assert len(encode(pixels, "png").data) < pixels.size * 1.005


def test_jpeg_keeps_full_colour_resolution_at_high_quality():
    image = encode(RAMP, "jpeg")
    assert (image.format.content_type, image.format.extension) == ("image/jpeg", "jpg")
    picture = opened(image)
    assert [component[1:3] for component in picture.layer] == [(1, 1)] * 3  # 4:4:4
    file = io.BytesIO()
    Image.fromarray(RAMP).save(file, "JPEG", quality=95)
    assert picture.quantization == Image.open(file).quantization
    assert np.abs(np.asarray(picture).astype(int) - RAMP).max() <= 4


PARAMETERS = {"prompt": "ein Fuchs, 狐, 🦊\n\u0000", "seed": 2**63 - 1, "guidance": 7.5}


@pytest.mark.parametrize("image_format", ["png", "jpeg"])
def test_parameters_can_be_read_back(image_format):
    image = encode(NOISE, image_format, PARAMETERS)
    assert read_parameters(image.data) == PARAMETERS
    assert opened(image).size == (96, 64)


def test_other_tools_find_the_letters_themselves():
    assert "ein Fuchs, 狐, 🦊".encode() in encode(NOISE, "png", PARAMETERS).data
    assert "ein Fuchs, 狐, 🦊".encode("utf-16-be") in encode(NOISE, "jpeg", PARAMETERS).data


@pytest.mark.parametrize("image_format", ["png", "jpeg"])
def test_without_parameters_there_are_none(image_format):
    data = encode(NOISE, image_format).data
    assert read_parameters(data) is None
    assert b"Exif" not in data
    assert b"iTXt" not in data


@pytest.mark.parametrize("letter", ["x", "狐", "🦊", "\u0001"])
def test_jpeg_cuts_the_longest_texts_to_what_exif_holds(letter):
    given = {"prompt": letter * 10_000, "negative_prompt": letter * 9_000, "seed": 5}
    read = read_parameters(encode(NOISE, "jpeg", given).data)
    assert read["seed"] == 5
    assert given["prompt"].startswith(read["prompt"])
    assert len(read["prompt"]) > 1000
    assert len(read["negative_prompt"]) > 1000


@pytest.mark.parametrize(("letter", "in_exif"), [("🦊", 4), ("\u0001", 12)])
def test_jpeg_cuts_no_more_than_it_must(letter, in_exif):
    given = {"prompt": letter * 10_000, "negative_prompt": letter * 9_000}
    exif = opened(encode(NOISE, "jpeg", given)).getexif()
    size = len(exif.get_ifd(0x8769)[0x9286].removeprefix(b"UNICODE\0"))
    assert 64_000 - in_exif <= size <= 64_000


def test_png_keeps_the_longest_prompts_whole():
    given = {"prompt": "🦊" * 10_000, "negative_prompt": "狐" * 10_000}
    assert read_parameters(encode(NOISE, "png", given).data) == given
