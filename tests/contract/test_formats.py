"""The formats, and that there is an encoder for each."""

import io

import numpy as np
import pytest
from PIL import Image

from flux_worker.contract.formats import FORMATS, JPEG, PNG, named
from flux_worker.delivery.images import encode


@pytest.mark.parametrize(
    ("name", "found"),
    [("jpeg", JPEG), ("jpg", JPEG), ("JPG", JPEG), ("Png", PNG), ("webp", None), (None, None)],
)
def test_formats_are_found_by_their_names(name, found):
    assert named(name) is found


@pytest.mark.parametrize("image_format", FORMATS.values(), ids=FORMATS)
def test_every_format_is_written_as_it_is_called(image_format):
    image = encode(np.zeros((4, 4, 3), np.uint8), image_format.name)
    picture = Image.open(io.BytesIO(image.data))
    assert picture.get_format_mimetype() == image.format.content_type == image_format.content_type
    assert image.data_url.startswith(f"data:{image_format.content_type};base64,")
