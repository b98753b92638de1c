import struct

import pytest
from picture_files import exif

from flux_worker.pictures.exif import orientation


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("number", range(1, 9))
def test_the_orientation_is_read_in_both_orders(number, order):
    assert orientation(exif(number, order)) == number


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"II*\0",
        b"nonsense",
        b"II*\0\xff\xff\xff\xff",
        b"II*\0\x08\0\0\0\xff\xff",
        b"II*\0\x08\0\0\0\x01\0" + struct.pack("<HHIHH", 0x0112, 2, 1, 6, 0),  # a text
        b"II*\0\x08\0\0\0\x01\0" + struct.pack("<HHIHH", 0x0100, 3, 1, 6, 0),  # another tag
        exif(6)[:17],
        *(exif(number) for number in (0, 9, 65535)),
    ],
)
def test_what_says_none_is_upright(data):
    assert orientation(data) == 1


def test_it_is_found_after_other_entries():
    others = [struct.pack("<HHIHH", 0x0100 + n, 3, 1, 1, 0) for n in range(18)]
    entries = [*others, struct.pack("<HHIHH", 0x0112, 3, 1, 8, 0)]
    assert orientation(b"II*\0\x08\0\0\0" + struct.pack("<H", 19) + b"".join(entries)) == 8
