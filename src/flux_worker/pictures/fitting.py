"""Fits a caller's pictures to the image that is made of them."""

from typing import TypeVar

import numpy as np
from diffusers.pipelines.flux import pipeline_flux_kontext
from numpy.typing import NDArray
from PIL import Image
from PIL.Image import Resampling

Pixels = NDArray[np.uint8]
"""Shape (height, width, 3), RGB, 0…255."""
Mask = NDArray[np.bool_]
"""Shape (height, width); True is painted anew."""
Number = TypeVar("Number", np.uint8, np.bool_)
Sides = tuple[int, int]
"""Width and height."""

REFERENCES: list[Sides] = pipeline_flux_kontext.PREFERRED_KONTEXT_RESOLUTIONS
"""The sizes at which Kontext was trained to see a picture."""
WHITE = 128
"""The least grey of a mask that counts as white."""
SAME_SHAPE = 1
"""Pixels by which a mask that was scaled by itself may differ in shape from its picture."""
FEATHER = 4
"""Pixels at the inner edge of a mask over which the picture passes into what is painted."""


def cover(pixels: Pixels, sides: Sides) -> Pixels:
    """Scale a picture until it covers these sides, and cut away what juts out, equally around."""
    height, width, _ = pixels.shape
    if (width, height) == sides:
        return pixels
    scale = max(sides[0] / width, sides[1] / height)
    seen = sides[0] / scale, sides[1] / scale
    left, top = (
        max(0.0, whole - part) / 2 for whole, part in zip((width, height), seen, strict=True)
    )
    box = (left, top, width - left, height - top)
    return np.asarray(Image.fromarray(pixels).resize(sides, Resampling.LANCZOS, box))


def reference(pixels: Pixels, multiple: int) -> Pixels:
    """Scale a picture to the size nearest in shape at which Kontext was trained to see one.

    The sides are lowered to a `multiple`. It is what diffusers' pipeline does by itself.
    """
    height, width, _ = pixels.shape
    _, *sides = min((abs(width / height - w / h), w, h) for w, h in REFERENCES)
    across, down = (side // multiple * multiple for side in sides)
    return np.asarray(Image.fromarray(pixels).resize((across, down), Resampling.LANCZOS))


def mask(pixels: Pixels, sides: Sides) -> Mask:
    """Fit a mask as `cover` fits its picture, and tell what is white in it."""
    levels = cover(pixels, sides).sum(axis=2, dtype=np.uint16)
    white: Mask = levels >= 3 * WHITE
    return white


def is_same_shape(one: Pixels, other: Pixels) -> bool:
    """Whether one picture can be the other scaled, with sides rounded to pixels."""
    (a, b), (c, d) = one.shape[:2], other.shape[:2]
    # The rounded side is half a pixel off at most, on the smaller of the two.
    return bool(abs(a * d - b * c) <= SAME_SHAPE * max(a, b, c, d))


def whole(sides: Sides, multiple: int) -> Sides:
    """Return the sides, each raised to the next multiple."""
    across, down = (-(-side // multiple) * multiple for side in sides)
    return across, down


def widened(array: NDArray[Number], sides: Sides) -> NDArray[Number]:
    """Repeat a picture's or mask's edges until it is this wide and high, equally around."""
    height, width = array.shape[:2]
    left, top = (sides[0] - width) // 2, (sides[1] - height) // 2
    around = [(top, sides[1] - height - top), (left, sides[0] - width - left), (0, 0)]
    return np.pad(array, around[: array.ndim], mode="edge")


def cropped(array: NDArray[Number], sides: Sides) -> NDArray[Number]:
    """Take away what `widened` has put around."""
    height, width = array.shape[:2]
    left, top = (width - sides[0]) // 2, (height - sides[1]) // 2
    return np.ascontiguousarray(array[top : top + sides[1], left : left + sides[0]])


def blocks(painted: Mask, side: int) -> Mask:
    """Return the mask in whole latents, squares of this side: all that it touches."""
    height, width = painted.shape
    touched = painted.reshape(height // side, side, width // side, side).any(axis=(1, 3))
    return touched.repeat(side, axis=0).repeat(side, axis=1)


def composed(picture: Pixels, painted: Pixels, where: Mask) -> Pixels:
    """Put what was painted into the picture, which shows through at the mask's inner edge.

    Outside the mask every pixel is the picture's.
    """
    share = np.zeros(where.shape, np.float32)
    inner = where
    for _ in range(FEATHER + 1):
        share += inner / np.float32(FEATHER + 1)
        inner = _without_edge(inner)
    mixed = picture + (painted.astype(np.float32) - picture) * share[..., None]
    return np.where(where[..., None], np.rint(mixed), picture).astype(np.uint8)


def _without_edge(inner: Mask) -> Mask:
    """Take one pixel away all around, but not at the edges of the picture."""
    padded = np.pad(inner, 1, mode="edge")
    rows = padded[:-2] & padded[1:-1] & padded[2:]
    return rows[:, :-2] & rows[:, 1:-1] & rows[:, 2:]
