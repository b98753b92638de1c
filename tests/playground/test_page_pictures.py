import asyncio
import base64
import json

import numpy as np
import pytest
from loopback import serving

from flux_worker.delivery import images
from playground import pictures
from playground.places import Place

MADE_BY = {"prompt": "a “red” circle\n🔴", "seed": 2**63 - 1, "model": "FLUX.1-dev"}
PIXELS = np.zeros((256, 256, 3), np.uint8)
HERE = Place("http://127.0.0.1:8000/v2", "abc")


def file(image_format="png", parameters=MADE_BY):
    return images.encode(PIXELS, image_format, parameters).data


def fetch(url, place=HERE):
    return asyncio.run(pictures.fetch(url, place))


@pytest.mark.parametrize("image_format", ["jpeg", "png"])
def test_the_parameters_in_a_file_are_found(image_format):
    assert pictures.parameters(file(image_format)) == MADE_BY


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"", "no JPEG or PNG"),
        (b"GIF89a", "no JPEG or PNG"),
        (b"\x89PNG\r\n\x1a\n", "carries no parameters"),
        (b"\xff\xd8\xff", "carries no parameters"),
        (file()[:60], "carries no parameters"),
        (file(parameters=None), "carries no parameters"),
        (file("jpeg", None), "To start from it, drop it on Input picture"),
        (file(parameters={"x": 1}).replace(b'{"x": 1}', b"[1, 2 3]"), "carries no parameters"),
        (file(parameters={"x": 1}).replace(b'{"x": 1}', b"[[[[[[]]"), "carries no parameters"),
        (file(parameters={"x": 1}).replace(b'{"x": 1}', b'"string"'), "carries no parameters"),
    ],
)
def test_a_file_without_parameters_is_said_to_have_none(data, said):
    with pytest.raises(pictures.NoPicture, match=said):
        pictures.parameters(data)


def test_a_picture_is_fetched_from_the_bucket_or_out_of_the_answer():
    data = file()
    inside = "data:image/png;base64," + base64.b64encode(data).decode()
    assert fetch(inside) == data
    with serving(lambda request: request.answer(200, data)) as url:
        assert fetch(f"{url}/picture.png?X-Amz-Signature=a%2Fb") == data


def test_a_picture_that_cannot_be_had_is_said_by_the_cause():
    page = json.dumps({"not": "a picture"}).encode()
    for url, said in [
        (None, "has no image_url"),
        ("data:image/png;base64,!!", "can't be read"),
        ("data:image/png;base64,AAAA", "neither JPEG nor PNG"),
        ("http://127.0.0.1:1/x.png", "can't be fetched"),
        ("nonsense", "can't be fetched"),
        ("http://[::1", "can't be fetched"),
        ("http://h:99999999/x", "can't be fetched"),
        ("file:///etc/passwd", "can't be fetched"),
    ]:
        with pytest.raises(pictures.NoPicture, match=said):
            fetch(url)
    with (
        serving(lambda request: request.answer(403)) as url,
        pytest.raises(pictures.Gone, match="HTTP 403"),
    ):
        fetch(url)
    with (
        serving(lambda request: request.answer(503)) as url,
        pytest.raises(pictures.NoPicture, match="HTTP 503: ask again later") as raised,
    ):
        fetch(url)
    assert not isinstance(raised.value, pictures.Gone)
    with (
        serving(lambda request: request.answer(200, page)) as url,
        pytest.raises(pictures.NoPicture, match="neither JPEG nor PNG"),
    ):
        fetch(url)


def test_a_file_without_end_is_left(monkeypatch):
    monkeypatch.setattr(pictures, "LARGEST", 1000)
    with (
        serving(lambda request: request.answer(200, file() + bytes(2000))) as url,
        pytest.raises(pictures.NoPicture, match="too large"),
    ):
        fetch(url)


def test_an_endpoint_elsewhere_cannot_lead_to_this_machine():
    asked = []

    def answer(request):
        asked.append(request.path)
        request.answer(200, file())

    public = Place("https://93.184.216.34/v2", "abc")
    with serving(answer) as url, pytest.raises(pictures.NoPicture, match="can't be fetched"):
        fetch(f"{url}/secret", public)
    assert not asked
