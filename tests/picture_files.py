"""Pictures' files, sound and otherwise, made by hand where no encoder makes them."""

import io
import struct
import zlib
from collections.abc import Iterable
from typing import Any

import numpy as np
from PIL import Image

SIGNATURE = b"\x89PNG\r\n\x1a\n"
COLOURS = [(255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 0), (0, 255, 255), (255, 0, 255)]
"""Of `corners`, row by row."""


def encoded(image: Image.Image, form: str = "PNG", **options: Any) -> bytes:
    file = io.BytesIO()
    image.save(file, form, **options)
    return file.getvalue()


def corners(unit: int = 1) -> Image.Image:
    """Three columns and two rows of squares, each of a colour of its own."""
    small = np.array(COLOURS, np.uint8).reshape(2, 3, 3)
    return Image.fromarray(small.repeat(unit, 0).repeat(unit, 1))


def noise(width: int = 64, height: int = 64) -> Image.Image:
    values = np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)
    return Image.fromarray(values)


def chunk(kind: bytes, content: bytes = b"") -> bytes:
    checksum = zlib.crc32(kind + content)
    return struct.pack(">I4s", len(content), kind) + content + struct.pack(">I", checksum)


def header(width: int, height: int, bits: int, colour: int, interlaced: int = 0) -> bytes:
    return chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, bits, colour, 0, 0, interlaced))


def png(head: bytes, rows: Iterable[bytes] = (), *before: bytes) -> bytes:
    """A PNG of this header, with chunks before its pixels."""
    pixels = zlib.compress(b"".join(b"\0" + row for row in rows))
    return b"".join((SIGNATURE, head, *before, chunk(b"IDAT", pixels), chunk(b"IEND")))


def with_chunk(data: bytes, kind: bytes, content: bytes) -> bytes:
    """A PNG with one more chunk after its header."""
    return data[:33] + chunk(kind, content) + data[33:]


def segment(marker: int, content: bytes) -> bytes:
    return struct.pack(">BBH", 0xFF, marker, len(content) + 2) + content


def with_segment(data: bytes, marker: int, content: bytes) -> bytes:
    """A JPEG with one more segment at its beginning."""
    return data[:2] + segment(marker, content) + data[2:]


def exif(orientation: int, order: str = "<") -> bytes:
    """A TIFF's header, and a directory of one entry."""
    mark = b"II*\0" if order == "<" else b"MM\0*"
    entry = struct.pack(f"{order}HHIHH", 0x0112, 3, 1, orientation, 0)
    return mark + struct.pack(f"{order}IH", 8, 1) + entry + bytes(4)


def webp(*chunks: tuple[bytes, bytes]) -> bytes:
    body = b"".join(
        struct.pack("<4sI", kind, len(content)) + content + bytes(len(content) % 2)
        for kind, content in chunks
    )
    return b"RIFF" + struct.pack("<I", 4 + len(body)) + b"WEBP" + body


def icc(kind: bytes, space: bytes, connection: bytes, tags: dict[bytes, bytes]) -> bytes:
    """An ICC profile: its class, its colours, those that it brings them to, and its tags."""
    table, content = struct.pack(">I", len(tags)), b""
    begin = 128 + 4 + 12 * len(tags)
    for name, tag in tags.items():
        table += name + struct.pack(">II", begin + len(content), len(tag))
        content += tag + bytes(-len(tag) % 4)
    head = struct.pack(">II", begin + len(content), 0) + b"\x02\x40\0\0" + kind + space + connection
    head += bytes(12) + b"acsp" + bytes(28) + D50
    return head.ljust(128, b"\0") + table + content


D50 = struct.pack(">3I", 0xF6D6, 0x10000, 0xD32D)
WHITE_POINT = b"XYZ \0\0\0\0" + D50
LINEAR = b"curv\0\0\0\0" + struct.pack(">I", 0)
GREY_PROFILE = icc(b"mntr", b"GRAY", b"XYZ ", {b"wtpt": WHITE_POINT, b"kTRC": LINEAR})
"""Grey that is linear in light."""
PRIMARIES = {
    b"rXYZ": (0x6FA2, 0x38F5, 0x0390),
    b"gXYZ": (0x6299, 0xB785, 0x18DA),
    b"bXYZ": (0x24A0, 0x0F84, 0xB6CF),
}
"""Of sRGB, for D50."""
RGB_PROFILE = icc(
    b"mntr",
    b"RGB ",
    b"XYZ ",
    {
        b"wtpt": WHITE_POINT,
        **{n: b"XYZ \0\0\0\0" + struct.pack(">3I", *xyz) for n, xyz in PRIMARIES.items()},
        **dict.fromkeys((b"rTRC", b"gTRC", b"bTRC"), LINEAR),
    },
)
"""Of sRGB's colours, but linear in light."""


def press(cyan: tuple[int, int, int]) -> bytes:
    """A profile of CMYK in which all inks are black but for cyan, which has this Lab in bytes."""
    inks = [(bits >> 3 & 1, bits >> 2 & 1, bits >> 1 & 1, bits & 1) for bits in range(16)]
    points = {(0, 0, 0, 0): (255, 128, 128), (1, 0, 0, 0): cyan}
    grid = b"".join(bytes(points.get(each, (0, 128, 128))) for each in inks)
    identity = struct.pack(">9i", *(65536 * (n % 4 == 0) for n in range(9)))
    ramp = bytes(range(256))
    table = b"mft1\0\0\0\0\x04\x03\x02\0" + identity + ramp * 4 + grid + ramp * 3
    return icc(b"prtr", b"CMYK", b"Lab ", {b"wtpt": WHITE_POINT, b"A2B0": table})
