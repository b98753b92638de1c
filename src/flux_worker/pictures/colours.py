"""Brings decoded pixels to sRGB over white, whatever they are stored as."""

import io
from functools import cache

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageCms

from flux_worker.pictures.parts import Parts

SPACES = {"GRAY": "L", "RGB": "RGB", "CMYK": "CMYK"}
"""Pillow's name of each colour space that ICC's profiles name."""
WHITE = (255, 255, 255)


@cache
def _srgb() -> ImageCms.ImageCmsProfile:
    return ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB"))


def alpha(image: Image.Image, parts: Parts) -> Image.Image | None:
    """Return how opaque each pixel is, in mode L, or None where all are.

    Pillow compares a PNG's transparent value with samples that it has scaled already.
    """
    if image.mode in ("RGBA", "LA", "PA"):
        found = image.getchannel("A")
    elif image.mode == "P" and "transparency" in image.info:
        found = image.convert("RGBA").getchannel("A")
    elif parts.transparent:
        is_opaque = _samples(image) != np.array(_scaled(parts, image.mode))
        found = Image.fromarray(np.uint8(255) * is_opaque.any(axis=-1))
    else:
        return None
    return found if found.getextrema()[0] != 255 else None


def _samples(image: Image.Image) -> NDArray[np.integer]:
    """Return an image's values, (height, width, samples)."""
    values = np.asarray(image.convert("L") if image.mode == "1" else image)
    return values if values.ndim == 3 else values[..., None]


def _scaled(parts: Parts, mode: str) -> tuple[int, ...]:
    if mode == "I;16":
        return parts.transparent
    if parts.bits == 16:
        return tuple(value >> 8 for value in parts.transparent)
    return tuple(value * 255 // (2**parts.bits - 1) for value in parts.transparent)


def to_srgb(image: Image.Image, profile: bytes) -> Image.Image:
    """Return an image in mode RGB and sRGB, without its alpha.

    A profile that is damaged, or of other colours than the picture's, counts as none, as in
    browsers: then RGB and grey are taken for sRGB.

    Args:
        image: as it is stored.
        profile: ICC's, if the file has one.
    """
    plain = _plain(image)
    if not profile:
        return plain.convert("RGB")
    try:
        source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        mode = SPACES.get(source.profile.xcolor_space.strip())
        if mode == "RGB" and plain.mode == "L":
            plain = plain.convert("RGB")
        if mode == plain.mode:
            # As Photoshop and browsers do: black stays black.
            transform = ImageCms.buildTransform(
                source,
                _srgb(),
                mode,
                "RGB",
                ImageCms.Intent.RELATIVE_COLORIMETRIC,
                ImageCms.Flags.BLACKPOINTCOMPENSATION,
            )
            return transform.apply(plain)
    except (ImageCms.PyCMSError, OSError, ValueError, TypeError):
        pass
    return plain.convert("RGB")


def _plain(image: Image.Image) -> Image.Image:
    """Return an image in mode L, RGB or CMYK."""
    if image.mode == "I;16":  # Pillow would clip it
        values = (np.asarray(image).astype(np.uint32) + 128) // 257
        return Image.fromarray(values.astype(np.uint8))
    if image.mode in ("L", "RGB", "CMYK"):
        return image
    if image.mode == "P":
        image = image.convert("RGBA")
    return image.convert("L" if image.mode in ("1", "LA") else "RGB")


def over_white(image: Image.Image, opacity: Image.Image | None) -> Image.Image:
    """Return an image in mode RGB as it is seen on white."""
    if opacity is None:
        return image
    white = Image.new("RGB", image.size, WHITE)
    white.paste(image, mask=opacity)
    return white
