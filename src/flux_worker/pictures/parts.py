"""What a picture's file is made of, as far as that is told without decoding its pixels."""

from dataclasses import dataclass

from flux_worker.downloads.refusals import Refused

MOST_PIXELS = 50_000_000
"""Decoded, they take 150 MB; cameras of phones that make more write fewer by default."""
LONGEST_SIDE = 65_535
"""Pixels: JPEG's own limit. Others' lines of millions would take gigabytes to be scaled."""


@dataclass(frozen=True)
class Parts:
    """A file that is whole, and its parts."""

    name: str
    """Of its format."""
    data: bytes
    """The file, without what Pillow needn't see."""
    size: tuple[int, int]
    """Width and height in pixels, as they are stored."""
    profile: bytes = b""
    """ICC's, if there is one."""
    exif: bytes = b""
    """A TIFF's header and directories, if there are some."""
    transparent: tuple[int, ...] = ()
    """The one grey or RGB value of a PNG that is transparent, if one is, in its own bits."""
    bits: int = 8
    """Of a sample."""


def require_size(name: str, size: tuple[int, int]) -> tuple[int, int]:
    """Return a size, in pixels, unless it is none that is decoded here.

    Raises:
        Refused: it is empty, or too large.
    """
    width, height = size
    if not width or not height:
        raise damaged(name)
    if width * height > MOST_PIXELS:
        most = MOST_PIXELS // 10**6
        raise Refused(f"has {width}x{height} pixels, more than {most} megapixels: send it smaller")
    if max(size) > LONGEST_SIDE:
        raise Refused(
            f"has {width}x{height} pixels, more than {LONGEST_SIDE} along a side: send it smaller"
        )
    return size


def incomplete(name: str) -> Refused:
    """Return what is raised for a file that ends too early."""
    return Refused(f"is a {name} that is incomplete: send the whole file")


def damaged(name: str) -> Refused:
    """Return what is raised for a file that can't be what was once saved."""
    return Refused(f"is a {name} that is damaged, or of a rare form: save it anew")


def animated(frames: int) -> Refused:
    """Return what is raised for a file of several pictures that are shown in turn."""
    return Refused(f"is an animation of {frames} frames: send one of them")
