"""Turns a picture's file into its pixels, whatever the file holds."""

import io
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from flux_worker.downloads.refusals import Unavailable
from flux_worker.pictures import colours, signatures
from flux_worker.pictures.exif import orientation
from flux_worker.pictures.parts import Parts, damaged

TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""What brings a picture upright, by its orientation in Exif's numbers."""


@dataclass(frozen=True)
class Picture:
    """A picture as it is looked at: upright, in sRGB, over white."""

    pixels: NDArray[np.uint8]
    """(height, width, 3), not to be written to."""
    is_transparent: bool
    """Whether any of it lets the white through."""


def decode(data: bytes) -> Picture:
    """Decode a PNG, a JPEG or a WebP.

    Raises:
        Refused: it is none, or can't be decoded.
        Unavailable: there is no memory for it.
    """
    parts = signatures.reader(data)(data)
    try:
        return _decoded(parts)
    except MemoryError:
        raise Unavailable("can't be decoded now, for lack of memory; send the job again") from None
    except Exception:  # Pillow raises errors of all kinds
        raise damaged(parts.name) from None


def _decoded(parts: Parts) -> Picture:
    with Image.open(io.BytesIO(parts.data), formats=(parts.name.upper(),)) as image:
        image.load()
        opacity = colours.alpha(image, parts)
        upright = colours.to_srgb(image, parts.profile)
    turn = TURNS.get(orientation(parts.exif))
    if turn is not None:
        upright, opacity = upright.transpose(turn), opacity and opacity.transpose(turn)
    seen = colours.over_white(upright, opacity)
    return Picture(np.asarray(seen), is_transparent=opacity is not None)
