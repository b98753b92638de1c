"""Reads which way up a picture is: https://www.cipa.jp/std/documents/e/DC-X008-Translation-2019-E.pdf.

Pillow reads all of the directories for it, and warns of what is wrong there.
"""

import struct

ORIENTATION, SHORT = 0x0112, 3
UPRIGHT = 1


def orientation(exif: bytes) -> int:
    """Return the orientation, 1 to 8, that a TIFF's first directory says; 1 where it says none."""
    order = {b"II*\0": "<", b"MM\0*": ">"}.get(exif[:4])
    if order is None:
        return UPRIGHT
    try:
        (at,) = struct.unpack_from(f"{order}I", exif, 4)
        (entries,) = struct.unpack_from(f"{order}H", exif, at)
        for number in range(entries):
            tag, kind, _, value = struct.unpack_from(f"{order}HHIH", exif, at + 2 + 12 * number)
            if (tag, kind) == (ORIENTATION, SHORT):
                return value if 1 <= value <= 8 else UPRIGHT
    except struct.error:
        pass
    return UPRIGHT
