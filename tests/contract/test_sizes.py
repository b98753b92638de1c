"""Sizes by other names than the sides': what they mean, and which wins."""

import pytest
from hypothesis import given as every
from hypothesis import strategies as st

from flux_worker.contract.catalog import DEV, KONTEXT, MODELS
from flux_worker.contract.request import ImageRequest
from flux_worker.contract.sizes import of_picture
from flux_worker.errors import InvalidRequest


def parse(**given):
    return ImageRequest.parse({"prompt": "x", **given}, DEV)[0]


def error_of(**given):
    with pytest.raises(InvalidRequest) as refusal:
        parse(**given)
    return str(refusal.value)


def sides(**given):
    request = parse(**given)
    return request.width, request.height


@pytest.mark.parametrize("size", ["768*512", "768x512", "768X512", " 768 * 512 "])
def test_size_gives_both_sides(size):
    request = parse(size=size)
    assert (request.width, request.height) == (768, 512)


def test_explicit_sides_win_over_size():
    request = parse(size="768*512", width=300)
    assert (request.width, request.height) == (300, 512)
    assert parse(size="nonsense", width=300, height=400).height == 400


@pytest.mark.parametrize("size", ["768", "a*b", "768*", "1*2*3", 768, "-768*512", "٣٠٠*٣٠٠"])
def test_a_malformed_size_is_refused(size):
    assert 'size must be "width*height"' in error_of(size=size)


def test_a_size_beyond_the_limits_is_refused_by_its_sides():
    assert "width must be between 256 and 1536 (got 2048)" in error_of(size="2048*2048")


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"width": 640, "height": 480}, (640, 480)),
        ("640*480", (640, 480)),
        ("640x480", (640, 480)),
        ("square", (512, 512)),
        ("landscape_16_9", (1024, 576)),
        ("portrait_4_3", (768, 1024)),
    ],
)
def test_image_size_gives_both_sides(given, expected):
    assert sides(image_size=given) == expected


@pytest.mark.parametrize("given", [{"width": 640}, {}, "huge", 5, [640, 480], {"w": 1, "h": 2}])
def test_a_malformed_image_size_is_refused(given):
    assert 'image_size must be {"width"' in error_of(image_size=given)


def test_the_sides_of_an_image_size_have_the_parameters_limits():
    assert "width must be between 256 and 1536 (got 2048)" in error_of(
        image_size={"width": 2048, "height": 512}
    )


@pytest.mark.parametrize(
    ("ratio", "expected"),
    [
        ("1:1", (1024, 1024)),
        ("16:9", (1360, 768)),
        ("9:16", (768, 1360)),
        ("4:3", (1184, 880)),
        ("3:2", (1248, 832)),
        ("21:9", (1536, 656)),
        ("6:1", (1536, 256)),
    ],
)
def test_an_aspect_ratio_is_a_megapixel_in_that_shape(ratio, expected):
    assert sides(aspect_ratio=ratio) == expected


@pytest.mark.parametrize("model", MODELS.values(), ids=MODELS)
@pytest.mark.parametrize("ratio", ["1:1", "16:9", "9:16", "2:3", "5:4", "21:9", "1:6"])
def test_a_ratio_costs_no_more_than_the_default_size_and_a_bit(model, ratio):
    given = {"prompt": "x", "aspect_ratio": ratio, "image": "https://example.com/x.png"}
    request = ImageRequest.parse(given, model)[0]
    across, down = map(int, ratio.split(":"))
    assert request.width * request.height <= 1.02 * 1024**2
    assert request.width / request.height == pytest.approx(across / down, rel=0.03)


def test_with_one_side_given_the_other_follows():
    assert sides(aspect_ratio="3:2", width=600) == (600, 400)
    assert sides(aspect_ratio="3:2", height=400) == (600, 400)
    assert sides(aspect_ratio="custom", width=600, height=300) == (600, 300)


@pytest.mark.parametrize("ratio", ["16/9", "16:0", "0:9", "wide", 1.78, "-1:2", "99999:1"])
def test_a_malformed_ratio_is_refused(ratio):
    assert 'aspect_ratio must be "width:height", such as "16:9"' in error_of(aspect_ratio=ratio)


@pytest.mark.parametrize(("ratio", "side"), [("7:1", "height"), ("1:7", "width")])
def test_a_shape_that_no_size_has_is_refused(ratio, side):
    assert f"aspect_ratio makes the {side} too short" in error_of(aspect_ratio=ratio)


def test_the_more_exact_way_wins():
    everything = {"size": "300*310", "image_size": "square", "aspect_ratio": "16:9"}
    assert sides(**everything) == (300, 310)
    del everything["size"]
    assert sides(**everything) == (512, 512)


@pytest.mark.parametrize(
    ("picture", "made"),
    [
        ((800, 600), (800, 600)),
        ((801, 599), (801, 599)),
        ((256, 1536), (256, 1536)),
        ((100, 100), (256, 256)),
        ((100, 200), (256, 512)),
        ((4000, 3000), (1536, 1152)),
        ((3000, 4000), (1152, 1536)),
        ((6000, 1000), (1536, 256)),
        ((50, 300), (256, 1536)),
    ],
)
def test_an_image_is_as_large_as_its_picture_as_far_as_images_may_be(picture, made):
    assert of_picture(picture, {}, DEV) == made


sides_of_pictures = st.integers(1, 20_000)


@every(width=sides_of_pictures, height=sides_of_pictures)
def test_it_keeps_the_pictures_shape_or_is_refused(width, height):
    found = of_picture((width, height), {}, DEV)
    if isinstance(found, str):
        assert max(width, height) > 5.9 * min(width, height)
    else:
        assert all(256 <= side <= 1536 for side in found)
        # To the pixel to which the sides are rounded.
        assert abs(found[0] * height - found[1] * width) <= max(width, height)


@pytest.mark.parametrize(
    ("given", "made"),
    [
        ({"width": 400}, (400, 300)),
        ({"height": 300}, (400, 300)),
        ({"width": 1536}, (1536, 1152)),
    ],
)
def test_of_one_side_the_other_follows_in_the_pictures_shape(given, made):
    assert of_picture((800, 600), given, DEV) == made


@pytest.mark.parametrize("given", [{"width": 256}, {"height": 1500}])
def test_a_side_that_leaves_no_room_for_the_other_is_refused(given):
    told = of_picture((1600, 900), given, DEV)
    assert "image is 1600x900, and in that shape it would be made" in told
    assert "send a width and a height between 256 and 1536" in told


def test_kontext_takes_every_way_to_ask_for_a_size():
    def sides(**given):
        picture = {"prompt": "x", "image": "https://example.com/x.png"}
        request = ImageRequest.parse({**picture, **given}, KONTEXT)[0]
        return request.width, request.height

    assert sides() == (1024, 1024)
    assert sides(size="1328*1328") == (1328, 1328)
    assert sides(aspect_ratio="16:9") == (1360, 768)
    assert sides(image_size="landscape_4_3") == (1024, 768)
    assert sides(width=512, height=300) == (512, 300)
