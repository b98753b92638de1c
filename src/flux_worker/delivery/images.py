"""Encodes pixels as JPEG or PNG, with the parameters that made them inside the file.

PNG is written here because the fastest encoder measured is none of the imaging libraries' but
ISA-L's deflate behind the "up" filter: a tenth of Pillow's time and less, in files as large
(`make bench`; docs/design.md has the figures).
"""

import base64
import io
import json
import struct
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from isal import isal_zlib
from numpy.typing import NDArray
from PIL import Image

from flux_worker.contract.formats import FORMATS, JPEG, PNG, ImageFormat

Pixels = NDArray[np.uint8]
"""Shape (height, width, 3), RGB, 0…255."""
Metadata = Mapping[str, Any]

JPEG_QUALITY = 95
METADATA_KEY = "parameters"
"""PNG text keyword that image tools look for."""

PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
PNG_RGB_8_BIT = (8, 2, 0, 0, 0)
PNG_FILTER_UP = 2

EXIF_IFD = 0x8769
EXIF_USER_COMMENT = 0x9286
EXIF_UNICODE = b"UNICODE\0"
EXIF_LIMIT = 64_000
"""Bytes of comment: a JPEG segment ends at 65,535, of which the EXIF frame takes some."""


@dataclass(frozen=True)
class EncodedImage:
    """A finished file."""

    data: bytes
    format: ImageFormat

    @property
    def data_url(self) -> str:
        """The whole file as a URL, as RFC 2397 has it."""
        return (
            f"data:{self.format.content_type};base64,{base64.b64encode(self.data).decode('ascii')}"
        )


def encode(pixels: Pixels, image_format: str, parameters: Metadata | None = None) -> EncodedImage:
    """Encode the pixels, with the parameters inside unless they are None.

    Args:
        pixels: of the image.
        image_format: a name out of `FORMATS`.
        parameters: what made the image, to be written in JSON.
    """
    return EncodedImage(ENCODERS[image_format](pixels, parameters), FORMATS[image_format])


def read_parameters(data: bytes) -> dict[str, Any] | None:
    """Read back what `encode` wrote into a file, or None where there is nothing."""
    image = Image.open(io.BytesIO(data))
    comment = image.getexif().get_ifd(EXIF_IFD).get(EXIF_USER_COMMENT)
    text = (
        comment.removeprefix(EXIF_UNICODE).decode("utf-16-be")
        if isinstance(comment, bytes)
        else image.info.get(METADATA_KEY)
    )
    return None if text is None else json.loads(text)


def _jpeg(pixels: Pixels, parameters: Metadata | None) -> bytes:
    options: dict[str, Any] = {"quality": JPEG_QUALITY, "subsampling": "4:4:4"}
    if parameters is not None:
        options["exif"] = exif = Image.Exif()
        exif.endian = ">"  # the UTF-16 of the comment follows the byte order of the header
        exif.get_ifd(EXIF_IFD)[EXIF_USER_COMMENT] = _user_comment(parameters)
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "JPEG", **options)
    return file.getvalue()


def _user_comment(parameters: Metadata) -> bytes:
    """Write the parameters as an EXIF comment, the longest texts cut until it fits."""
    kept = dict(parameters)
    while (excess := len(comment := _utf_16(_json(kept))) - EXIF_LIMIT) > 0:
        longest = max(kept, key=lambda name: len(str(kept[name])))
        text = str(kept[longest])
        bytes_a_letter = max(2, len(_utf_16(json.dumps(text, ensure_ascii=False))) // len(text))
        # Half at most: where two texts are long, both keep their beginning.
        dropped = min(len(text) // 2, excess // bytes_a_letter) + 1
        kept[longest] = text[:-dropped]
    return EXIF_UNICODE + comment


def _utf_16(text: str) -> bytes:
    return text.encode("utf-16-be")


def _json(parameters: Metadata) -> str:
    return json.dumps(parameters, ensure_ascii=False)


def _png(pixels: Pixels, parameters: Metadata | None) -> bytes:
    height, width, _ = pixels.shape
    rows = pixels.reshape(height, -1)
    filtered = np.empty((height, 1 + rows.shape[1]), np.uint8)
    filtered[:, 0] = PNG_FILTER_UP
    filtered[0, 1:] = rows[0]
    np.subtract(rows[1:], rows[:-1], out=filtered[1:, 1:])
    chunks = [_chunk(b"IHDR", struct.pack(">2I5B", width, height, *PNG_RGB_8_BIT))]
    if parameters is not None:
        uncompressed_in_no_language = b"\0\0\0\0\0"
        keyword = METADATA_KEY.encode() + uncompressed_in_no_language
        chunks.append(_chunk(b"iTXt", keyword + _json(parameters).encode()))
    chunks.append(_chunk(b"IDAT", isal_zlib.compress(filtered, 1)))
    chunks.append(_chunk(b"IEND", b""))
    return PNG_SIGNATURE + b"".join(chunks)


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


ENCODERS = {JPEG.name: _jpeg, PNG.name: _png}
