"""Reads what a PNG is made of: https://www.w3.org/TR/png-3/.

Pillow doesn't look at the checksums of pixels, takes a file without its end or with too few rows,
and inflates texts that nobody reads.
"""

import struct
import zlib
from collections.abc import Iterator

from flux_worker.pictures import parts
from flux_worker.pictures.parts import Parts, damaged, incomplete

NAME = "PNG"
SIGNATURE = b"\x89PNG\r\n\x1a\n"
GREY, RGB, PALETTE = 0, 2, 3
SAMPLES = {GREY: 1, RGB: 3, PALETTE: 1, 4: 2, 6: 4}
"""Of a pixel, by the colour type."""
WHOLE = ((0, 0, 1, 1),)
INTERLACED = (
    *((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4)),
    *((0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2)),
)
"""First column and row of each pass, and the steps from one to the next."""
READ = frozenset({b"IHDR", b"PLTE", b"IDAT", b"tRNS", b"iCCP", b"eXIf", b"acTL"})
LARGEST_PROFILE = 8 << 20
"""Bytes. Those of presses have up to three million."""
BLOCK = 1 << 16
"""Bytes that are inflated, or given to be, at once."""


def read(data: bytes) -> Parts:
    """Return the parts of a PNG.

    Raises:
        Refused: it isn't whole, is too large, or moves.
    """
    found: dict[bytes, list[bytes]] = {}
    for kind, content in _chunks(data):
        found.setdefault(kind, []).append(content)
    first = {kind: contents[0] for kind, contents in found.items()}
    try:
        width, height, bits, colour, _, _, interlaced = struct.unpack(">IIBBBBB", first[b"IHDR"])
        frames = struct.unpack(">II", first.get(b"acTL", bytes(8)))[0]
        row = bits * SAMPLES[colour]
        pixels = b"".join(found[b"IDAT"])
    except (struct.error, KeyError):
        raise damaged(NAME) from None
    parts.require_size(NAME, (width, height))
    if frames > 1:
        raise parts.animated(frames)
    _require_rows(pixels, _length(width, height, row, INTERLACED if interlaced else WHOLE))
    kept = [b"IHDR", *([b"PLTE", b"tRNS"] if colour == PALETTE else [])]
    pieces = [_chunk(kind, first[kind]) for kind in kept if kind in first]
    return Parts(
        name=NAME,
        data=b"".join((SIGNATURE, *pieces, _chunk(b"IDAT", pixels), _chunk(b"IEND", b""))),
        size=(width, height),
        profile=_profile(first.get(b"iCCP", b"")),
        exif=first.get(b"eXIf", b""),
        transparent=_transparent(first.get(b"tRNS", b""), colour),
        bits=bits,
    )


def _chunks(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    at = len(SIGNATURE)
    while True:
        if len(data) < at + 12:
            raise incomplete(NAME)
        length, kind = struct.unpack_from(">I4s", data, at)
        if kind == b"IEND":
            return
        end = at + 8 + length
        if len(data) < end + 4:
            raise incomplete(NAME)
        if kind in READ:
            if zlib.crc32(data[at + 4 : end]) != int.from_bytes(data[end : end + 4]):
                raise damaged(NAME)
            yield kind, data[at + 8 : end]
        at = end + 4


def _chunk(kind: bytes, content: bytes) -> bytes:
    checksum = zlib.crc32(kind + content)
    return struct.pack(">I4s", len(content), kind) + content + struct.pack(">I", checksum)


def _length(
    width: int, height: int, row: int, passes: tuple[tuple[int, int, int, int], ...]
) -> int:
    """Return the bytes of all rows, each with its filter's number, of so many bits a pixel."""
    total = 0
    for column, line, right, down in passes:
        columns, lines = -((column - width) // right), -((line - height) // down)
        total += lines * (1 + (columns * row + 7) // 8) if columns > 0 and lines > 0 else 0
    return total


def _inflated(data: bytes, most: int) -> Iterator[bytes]:
    """Give what deflated data holds, but no more than a little beyond so many bytes."""
    inflate, total = zlib.decompressobj(), 0
    for at in range(0, len(data), BLOCK):
        piece, out = data[at : at + BLOCK], b""
        while piece or len(out) == BLOCK:  # then there may be more of what was given last
            if total > most or inflate.eof:
                return
            yield (out := inflate.decompress(piece, BLOCK))
            total += len(out)
            piece = inflate.unconsumed_tail


def _require_rows(pixels: bytes, length: int) -> None:
    try:
        total = sum(map(len, _inflated(pixels, length)))
    except zlib.error:
        raise damaged(NAME) from None
    if total < length:
        raise incomplete(NAME)


def _profile(chunk: bytes) -> bytes:
    deflated = chunk.partition(b"\0")[2][1:]
    try:
        profile = b"".join(_inflated(deflated, LARGEST_PROFILE))
    except zlib.error:
        return b""
    return profile if len(profile) <= LARGEST_PROFILE else b""


def _transparent(chunk: bytes, colour: int) -> tuple[int, ...]:
    samples = {GREY: 1, RGB: 3}.get(colour, 0)
    return struct.unpack(f">{samples}H", chunk) if len(chunk) == 2 * samples else ()
