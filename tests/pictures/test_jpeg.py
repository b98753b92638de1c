from picture_files import encoded, exif, noise, segment, with_segment

from flux_worker.pictures import jpeg

PLAIN = encoded(noise(), "JPEG")


def test_what_others_have_written_is_left_out():
    written = PLAIN
    for marker in (0xE1, 0xE2, 0xED, 0xFE):
        written = with_segment(written, marker, b"whatever")
    assert jpeg.read(written + b"a film").data == PLAIN
    assert jpeg.read(PLAIN).size == (64, 64)


def test_what_says_which_colours_are_meant_stays():
    adobe = segment(0xEE, b"Adobe\0\x64\0\0\0\0\0")
    assert adobe in jpeg.read(PLAIN[:2] + adobe + PLAIN[2:]).data


def test_exif_is_the_first_that_there_is():
    two = with_segment(with_segment(PLAIN, 0xE1, b"Exif\0\0second"), 0xE1, b"Exif\0\0" + exif(6))
    assert jpeg.read(with_segment(two, 0xE1, b"http://ns.adobe.com/xap/1.0/\0")).exif == exif(6)
    assert jpeg.read(PLAIN).exif == b""


def test_a_profile_is_put_together_by_its_numbers():
    parts = PLAIN
    for number, part in ((1, b"one"), (3, b"three"), (2, b"two")):
        parts = with_segment(parts, 0xE2, b"ICC_PROFILE\0" + bytes([number, 3]) + part)
    assert jpeg.read(parts).profile == b"onetwothree"
    assert jpeg.read(PLAIN).profile == b""
