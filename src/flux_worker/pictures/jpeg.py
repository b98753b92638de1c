"""Reads what a JPEG is made of: https://www.w3.org/Graphics/JPEG/itu-t81.pdf, annex B.

What follows its end is left out: phones put a second picture or a film there.
"""

import re
import struct

from flux_worker.downloads.refusals import Refused
from flux_worker.pictures import parts
from flux_worker.pictures.parts import Parts, damaged, incomplete

NAME = "JPEG"
SIGNATURE = b"\xff\xd8\xff"
ALONE = frozenset({0x01, *range(0xD0, 0xD8)})
"""Markers without a length: restarts, and one that is temporary."""
FRAMES = frozenset({*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC})
SCAN, END, JFIF, EXIF, PROFILE, ADOBE = 0xDA, 0xD9, 0xE0, 0xE1, 0xE2, 0xEE
DROPPED = frozenset({*range(0xE0, 0xF0), 0xFE}) - {JFIF, ADOBE}
"""Applications' own segments, and comments. Those that stay say which colours are meant."""
MARKER = re.compile(rb"\xff+[^\x00\xff]", re.DOTALL)
AFTER_SCAN = re.compile(rb"\xff[\x01-\xcf\xd8-\xfe]")
MOST_SCANS = 100
"""Encoders write up to thirty. Each costs a pass over all pixels, and may have a few bytes."""


def read(data: bytes) -> Parts:
    """Return the parts of a JPEG.

    Raises:
        Refused: it isn't whole, is too large, or takes too long.
    """
    kept = [data[:2]]
    size, exif, profile = None, b"", dict[int, bytes]()
    scans, at = 0, 2
    while True:
        found = MARKER.search(data, at)
        if found is None:
            raise incomplete(NAME)
        marker, at = data[found.end() - 1], found.end()
        if marker == END:
            break
        if marker in ALONE:
            continue
        content = data[at + 2 : at + int.from_bytes(data[at : at + 2])]
        end = at + 2 + len(content)
        if marker == SCAN:
            scans += 1
            if scans > MOST_SCANS:
                raise Refused(f"is a JPEG of more than {MOST_SCANS} scans: save it anew")
            following = AFTER_SCAN.search(data, end)
            if following is None:
                raise incomplete(NAME)
            end = following.start()
        if marker in FRAMES:
            if size or len(content) < 6:
                raise damaged(NAME)
            height, width = struct.unpack_from(">HH", content, 1)
            size = parts.require_size(NAME, (width, height))
        elif marker == EXIF and content.startswith(b"Exif\0\0"):
            exif = exif or content[6:]
        elif marker == PROFILE and content.startswith(b"ICC_PROFILE\0") and len(content) > 14:
            profile[content[12]] = content[14:]
        if marker not in DROPPED:
            kept.append(data[at - 2 : end])
        at = end
    if not size or not scans:
        raise damaged(NAME)
    return Parts(
        name=NAME,
        data=b"".join((*kept, b"\xff\xd9")),
        size=size,
        profile=b"".join(profile[number] for number in sorted(profile)),
        exif=exif,
    )
