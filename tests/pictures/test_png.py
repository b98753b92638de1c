import struct
import zlib

from picture_files import SIGNATURE, chunk, corners, encoded, header, png, with_chunk

from flux_worker.pictures import png as reader


def test_pixels_in_many_pieces_are_put_together():
    pixels = zlib.compress(b"\0abc")
    pieces = b"".join(chunk(b"IDAT", bytes([byte])) for byte in pixels)
    read = reader.read(SIGNATURE + header(3, 1, 8, 0) + pieces + chunk(b"IEND"))
    assert read.data == png(header(3, 1, 8, 0), [b"abc"])
    assert (read.size, read.bits) == ((3, 1), 8)


def test_what_pillow_need_not_see_is_left_out():
    plain = encoded(corners())
    texts = with_chunk(with_chunk(plain, b"tEXt", b"x\0y"), b"iTXt", b"x\0\0\0\0\0y")
    assert reader.read(texts).data == reader.read(plain).data
    for name in (b"iCCP", b"eXIf", b"tEXt", b"iTXt"):
        assert name not in reader.read(encoded(corners(), icc_profile=b"x", exif=b"y")).data


def test_profile_and_exif_are_handed_over():
    read = reader.read(encoded(corners(), icc_profile=b"the profile", exif=b"II*\0rest"))
    assert (read.profile, read.exif) == (b"the profile", b"II*\0rest")
    assert reader.read(encoded(corners())).profile == b""


def test_a_profile_is_inflated_to_a_few_megabytes_at_most():
    bomb = with_chunk(encoded(corners()), b"iCCP", b"x\0\0" + zlib.compress(bytes(9 << 20)))
    large = with_chunk(encoded(corners()), b"iCCP", b"x\0\0" + zlib.compress(bytes(8 << 20)))
    assert reader.read(bomb).profile == b""
    assert reader.read(large).profile == bytes(8 << 20)


def test_the_transparent_value_is_that_of_grey_or_rgb():
    def read(colour, rows, samples):
        trns = chunk(b"tRNS", struct.pack(f">{len(samples)}H", *samples))
        return reader.read(png(header(1, 1, 8, colour), rows, trns)).transparent

    assert read(0, [b"a"], [97]) == (97,)
    assert read(2, [b"abc"], [1, 2, 3]) == (1, 2, 3)
    assert read(2, [b"abc"], [1]) == ()
    assert read(6, [b"abcd"], [1]) == ()
