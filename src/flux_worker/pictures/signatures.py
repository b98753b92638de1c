"""Tells what a file is by its first bytes, so that a caller hears what was sent."""

import re
from collections.abc import Callable

from flux_worker.downloads.refusals import Refused
from flux_worker.pictures import jpeg, png, webp
from flux_worker.pictures.parts import Parts

BEGINNING = 512
"""Bytes that are looked at."""
READERS: tuple[tuple[re.Pattern[bytes], Callable[[bytes], Parts]], ...] = (
    (re.compile(re.escape(png.SIGNATURE)), png.read),
    (re.compile(re.escape(jpeg.SIGNATURE)), jpeg.read),
    (re.compile(rb"RIFF.{4}WEBP", re.DOTALL), webp.read),
)
PAGE = "a web page"
OTHERS = tuple(
    (re.compile(pattern, re.DOTALL | re.IGNORECASE), name)
    for pattern, name in (
        (rb"GIF8[79]a", "a GIF"),
        (rb".{4}ftypavi[fs]", "an AVIF"),
        (rb".{4}ftyp(hei[cxms]|hev[cxms]|mif1|msf1)", "a HEIC"),
        (rb".{4}ftyp|\x1a\x45\xdf\xa3|RIFF.{4}AVI |\x00\x00\x01\xba|OggS", "a video"),
        (rb"BM.{4}\0\0\0\0", "a BMP"),
        (rb"II[*+]\0|MM\0[*+]", "a TIFF, or a camera's raw picture"),
        (rb"\xff\x0a|\0\0\0\x0cJXL ", "a JPEG XL"),
        (rb"\0\0\0\x0cjP  |\xff\x4f\xff\x51", "a JPEG 2000"),
        (rb"8BPS", "a Photoshop file"),
        (rb"\x00\x00[\x01\x02]\x00.\x00", "an icon"),
        (rb"%PDF-", "a PDF"),
        (rb"PK\x03\x04", "a ZIP archive"),
        (rb"(\xef\xbb\xbf)?\s*<(!doctype html|html|head|body|script)", PAGE),
        (rb"(\xef\xbb\xbf)?\s*(<[?!].*)?<svg", "an SVG"),
        (rb"(\xef\xbb\xbf)?\s*<[?!a-z]", PAGE),
    )
)


def reader(beginning: bytes) -> Callable[[bytes], Parts]:
    """Return what reads a file that begins so.

    Raises:
        Refused: nothing here does.
    """
    for signature, read in READERS:
        if signature.match(beginning):
            return read
    name = other(beginning) or "no picture that is known here"
    raise Refused(f"is {name}: send a PNG, JPEG or WebP")


def other(beginning: bytes) -> str | None:
    """Return what a file that begins so is, where it isn't for these readers."""
    told = (name for signature, name in OTHERS if signature.match(beginning[:BEGINNING]))
    return next(told, None)
