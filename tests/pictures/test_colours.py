"""Which colours a picture has on a screen, whatever its file calls them."""

import pytest
from picture_files import GREY_PROFILE, RGB_PROFILE, corners, encoded, noise, press
from PIL import Image, ImageCms

from flux_worker.pictures import decoder

SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
SWAPPED = SRGB.replace(b"rXYZ", b"xxxx").replace(b"bXYZ", b"rXYZ").replace(b"xxxx", b"bXYZ")
"""A profile in which the first value is blue, and the third red."""
LOSSLESS = {"PNG": {}, "WEBP": {"lossless": True}, "JPEG": {"quality": 100, "subsampling": 0}}


def seen(image, form="PNG", **options):
    pixels = decoder.decode(encoded(image, form, **LOSSLESS[form], **options)).pixels
    return tuple(int(value) for value in pixels[len(pixels) // 2, pixels.shape[1] // 2])


def is_near(one, another):
    return max(abs(a - b) for a, b in zip(one, another, strict=True)) <= 3


@pytest.mark.parametrize("form", LOSSLESS)
def test_a_profile_says_which_colours_are_meant(form):
    image = Image.new("RGB", (16, 16), (255, 0, 0))
    assert is_near(seen(image, form), (255, 0, 0))
    assert is_near(seen(image, form, icc_profile=SWAPPED), (0, 0, 255))


def test_the_profile_of_srgb_changes_nothing():
    plain, tagged = (decoder.decode(encoded(noise(), icc_profile=p)).pixels for p in (None, SRGB))
    assert (plain == tagged).all()


@pytest.mark.parametrize("form", ["PNG", "JPEG"])
def test_grey_has_profiles_too(form):
    grey = Image.new("L", (16, 16), 55)
    assert is_near(seen(grey, form), (55, 55, 55))
    assert is_near(seen(grey, form, icc_profile=GREY_PROFILE), (128, 128, 128))
    assert is_near(seen(Image.new("L", (16, 16), 255), form, icc_profile=GREY_PROFILE), (255,) * 3)


def test_grey_may_have_a_profile_of_rgb():
    image = Image.new("L", (16, 16), 55)
    assert is_near(seen(image, icc_profile=RGB_PROFILE), (128, 128, 128))


@pytest.mark.parametrize("profile", [GREY_PROFILE, press((128, 128, 128)), SRGB[:200], b"x" * 200])
def test_a_profile_of_other_colours_or_a_damaged_one_counts_as_none(profile):
    image = Image.new("RGB", (16, 16), (9, 200, 30))
    assert seen(image, icc_profile=profile) == (9, 200, 30)


@pytest.mark.parametrize(
    ("inks", "colour"),
    [
        ((0, 0, 0, 0), (255, 255, 255)),
        ((255, 0, 0, 0), (0, 255, 255)),
        ((0, 255, 255, 0), (255, 0, 0)),
        ((0, 0, 0, 255), (0, 0, 0)),
    ],
)
def test_inks_without_a_profile_are_those_of_a_screen(inks, colour):
    assert is_near(seen(Image.new("CMYK", (16, 16), inks), "JPEG"), colour)


def test_inks_are_those_of_their_profile():
    cyan = Image.new("CMYK", (16, 16), (255, 0, 0, 0))
    profile = press((128, 128, 128))  # half as light as paper, and grey
    assert is_near(seen(cyan, "JPEG", icc_profile=profile), (120, 120, 120))
    paper = Image.new("CMYK", (16, 16), (0, 0, 0, 0))
    assert is_near(seen(paper, "JPEG", icc_profile=profile), (255, 255, 255))


def test_a_profile_is_applied_before_the_picture_is_put_on_white():
    image = Image.new("RGBA", (16, 16), (255, 0, 0, 128))
    assert is_near(seen(image, icc_profile=SWAPPED), (127, 127, 255))


def test_a_profile_is_read_from_several_segments_of_a_jpeg():
    long = SWAPPED + bytes(200_000)
    assert is_near(
        seen(Image.new("RGB", (16, 16), (255, 0, 0)), "JPEG", icc_profile=long), (0, 0, 255)
    )


def test_a_palette_has_a_profile_too():
    image = corners(8).convert("P", palette=Image.Palette.ADAPTIVE, colors=8)
    assert is_near(seen(image.crop((0, 0, 8, 8)), icc_profile=SWAPPED), (0, 0, 255))
