import base64
import io

import numpy as np
import pytest
from PIL import Image

from playground import input_pictures
from playground.input_pictures import InputPicture, Unusable


def file(image, image_format="png", **options):
    out = io.BytesIO()
    image.save(out, image_format, **options)
    return out.getvalue()


def noise(width, height):
    drawn = np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8)
    return Image.fromarray(drawn)


def painted(image):
    return "data:image/png;base64," + base64.b64encode(file(image)).decode()


def opened(url):
    return Image.open(io.BytesIO(base64.b64decode(url.partition(",")[2])))


def test_a_picture_is_sent_without_loss_where_it_fits(tmp_path):
    image = noise(300, 200)
    picture = input_pictures.take(file(image), tmp_path)
    assert picture.sides == (300, 200)
    sent = picture.parameters()
    assert set(sent) == {"image"}
    assert sent["image"].startswith("data:image/png;base64,")
    assert opened(sent["image"]).tobytes() == image.tobytes()


def test_what_would_not_fit_is_a_jpeg_of_the_same_size(tmp_path):
    picture = input_pictures.take(file(noise(1536, 1536)), tmp_path)
    sent = picture.parameters()["image"]
    assert sent.startswith("data:image/jpeg;base64,")
    assert opened(sent).size == (1536, 1536)
    assert len(sent) < 9_000_000


@pytest.mark.parametrize(
    ("size", "taken"),
    [
        ((3072, 1000), (1536, 500)),
        ((1000, 3072), (500, 1536)),
        ((1536, 10), (1536, 10)),
        ((9000, 2), (1536, 1)),
    ],
)
def test_no_side_is_longer_than_can_be_used(tmp_path, size, taken):
    assert input_pictures.take(file(Image.new("RGB", size)), tmp_path).sides == taken


def test_what_is_transparent_is_over_white_and_upright(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    clear = input_pictures.take(file(Image.new("RGBA", (40, 20), (255, 0, 0, 0))), tmp_path)
    assert opened(clear.parameters()["image"]).getpixel((0, 0)) == (255, 255, 255)
    turned = input_pictures.take(file(Image.new("RGB", (40, 20)), "jpeg", exif=exif), tmp_path)
    assert turned.sides == (20, 40)


@pytest.mark.parametrize("data", [b"", b"nonsense", b"GIF89a", file(Image.new("L", (9, 9)))[:50]])
def test_what_is_no_picture_is_said_and_leaves_nothing(tmp_path, data):
    with pytest.raises(Unusable, match=r"That file is .*\.$"):
        input_pictures.take(data, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_mask_is_black_and_white_alone(tmp_path):
    picture = input_pictures.take(file(noise(300, 200)), tmp_path)
    grey = Image.new("RGBA", (300, 200), (0, 0, 0, 255))
    grey.paste((127, 127, 127, 255), (0, 0, 100, 200))
    grey.paste((128, 128, 128, 255), (100, 0, 200, 200))
    mask = opened(picture.masked(painted(grey)).parameters()["mask_image"])
    assert (mask.mode, mask.size) == ("1", (300, 200))
    assert [mask.getpixel((x, 9)) for x in (50, 150, 250)] == [0, 255, 0]


def test_without_white_there_is_no_mask(tmp_path):
    picture = input_pictures.take(file(noise(300, 200)), tmp_path)
    for none in ("", painted(Image.new("RGB", (300, 200)))):
        assert set(picture.masked(none).parameters()) == {"image"}


@pytest.mark.parametrize(
    "mask", [painted(Image.new("RGB", (200, 300), "white")), "x", "data:image/png;base64,AAAA"]
)
def test_the_mask_of_another_picture_is_refused(tmp_path, mask):
    picture = input_pictures.take(file(noise(300, 200)), tmp_path)
    with pytest.raises(Unusable, match="paint it again"):
        picture.masked(mask)


def test_a_copy_outlives_what_it_was_made_of(tmp_path):
    picture = input_pictures.take(file(noise(300, 200)), tmp_path)
    masked = picture.masked(painted(Image.new("RGB", (300, 200), "white")))
    sent, copy = masked.parameters(), masked.copied(tmp_path / "run" / "input")
    input_pictures.discard(masked)
    assert copy.parameters() == sent
    assert [path.name for path in tmp_path.iterdir()] == ["run"]
    input_pictures.discard(None)
    assert isinstance(copy, InputPicture)
