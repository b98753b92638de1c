from picture_files import corners, encoded, exif, noise

from flux_worker.pictures import webp


def test_the_size_is_read_of_each_form():
    for options in ({"lossless": True}, {"lossless": False}, {"exif": exif(6)}):
        read = webp.read(encoded(noise(30, 20), "WEBP", **options))
        assert read.size == (30, 20)


def test_profile_and_exif_are_handed_over():
    read = webp.read(encoded(corners(), "WEBP", icc_profile=b"odd", exif=b"Exif\0\0" + exif(6)))
    assert (read.profile, read.exif) == (b"odd", exif(6))
    plain = webp.read(encoded(corners(), "WEBP"))
    assert (plain.profile, plain.exif) == (b"", b"")
