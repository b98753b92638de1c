"""Reads what a WebP is made of: https://developers.google.com/speed/webp/docs/riff_container.

Pillow takes memory for the whole canvas when it opens one.
"""

import struct
from collections.abc import Iterator

from flux_worker.pictures import parts
from flux_worker.pictures.parts import Parts, damaged, incomplete

NAME = "WebP"
HEADER = 12
FRAME_TAG = 3
"""Bytes before the start code of a lossy frame: RFC 6386, 9.1."""


def read(data: bytes) -> Parts:
    """Return the parts of a WebP.

    Raises:
        Refused: it isn't whole, is too large, or moves.
    """
    end = 8 + int.from_bytes(data[4:8], "little")
    if len(data) < end:
        raise incomplete(NAME)
    sizes: list[tuple[int, int]] = []
    chunks: dict[bytes, bytes] = {}
    frames = 0
    for kind, content in _chunks(data[:end]):
        frames += kind == b"ANMF"
        chunks.setdefault(kind, content)
        if size := _size(kind, content):
            sizes.append(parts.require_size(NAME, size))
    if frames > 1:
        raise parts.animated(frames)
    if not sizes:
        raise damaged(NAME)
    return Parts(
        name=NAME,
        data=data[:end],
        size=sizes[0],
        profile=chunks.get(b"ICCP", b""),
        exif=chunks.get(b"EXIF", b"").removeprefix(b"Exif\0\0"),
    )


def _chunks(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    at = HEADER
    while at + 8 <= len(data):
        kind, length = struct.unpack_from("<4sI", data, at)
        end = at + 8 + length
        if end > len(data):
            raise incomplete(NAME)
        yield kind, data[at + 8 : end]
        at = end + length % 2


def _size(kind: bytes, content: bytes) -> tuple[int, int] | None:
    """Return the width and height that a chunk says, in pixels."""
    if kind == b"VP8X" and len(content) >= 10:
        return 1 + int.from_bytes(content[4:7], "little"), 1 + int.from_bytes(
            content[7:10], "little"
        )
    if kind == b"VP8L" and len(content) >= 5:
        bits = int.from_bytes(content[1:5], "little")
        return 1 + (bits & 0x3FFF), 1 + (bits >> 14 & 0x3FFF)
    if kind == b"VP8 " and len(content) >= 10:
        width, height = struct.unpack_from("<HH", content, FRAME_TAG + 3)
        return width & 0x3FFF, height & 0x3FFF
    return None
