"""The image formats that can be asked for: their names, and what their files are called."""

from dataclasses import dataclass


@dataclass(frozen=True)
class ImageFormat:
    """One kind of file."""

    name: str
    """As requests name it."""
    content_type: str
    extension: str
    also: tuple[str, ...] = ()
    """Other names that are accepted."""


JPEG = ImageFormat("jpeg", "image/jpeg", "jpg", also=("jpg",))
PNG = ImageFormat("png", "image/png", "png")
FORMATS = {image_format.name: image_format for image_format in (JPEG, PNG)}


def named(name: object) -> ImageFormat | None:
    """Return the format that goes by this name, in whatever capitals."""
    wanted = name.lower() if isinstance(name, str) else None
    return next((each for each in FORMATS.values() if wanted in (each.name, *each.also)), None)
