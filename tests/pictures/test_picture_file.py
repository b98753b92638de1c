"""What is told of a picture on the web before it is decoded."""

import errno

import pytest
from fake_web import endless, page, redirect, status
from picture_files import corners, encoded

from flux_worker import guard
from flux_worker.errors import GenerationFailed
from flux_worker.pictures.picture_file import PICTURES

URL = "https://files.example/a.png?key=hush"
PAGE = "leads to a web page of files.example, not to a picture"
UNKNOWN = "is no picture that is known here: send a PNG, JPEG or WebP"
NO_TLS = "leads to elsewhere.example without TLS: only https is followed"
PNG = encoded(corners())


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"<!doctype html><p>Log in", PAGE),
        (b'<?xml version="1.0"?><Error><Code>AccessDenied</Code>', PAGE),
        (b'<svg xmlns="http://www.w3.org/2000/svg"/>', "is an SVG: send a PNG, JPEG or WebP"),
        (encoded(corners(), "GIF"), "is a GIF: send a PNG, JPEG or WebP"),
        (b"PK\x03\x04" + bytes(40), "is a ZIP archive: send a PNG, JPEG or WebP"),
        (b"version https://git-lfs.github.com/spec/v1", UNKNOWN),
        (PNG[:-1], "is a PNG that is incomplete: send the whole file"),
        (b"", "leads to a file that is empty, or too short for a picture"),
        (b"no", "leads to a file that is empty, or too short for a picture"),
    ],
)  # fmt: skip
def test_what_is_no_picture_is_refused_and_not_kept(picture_refusal, web, data, said, temporary):
    web.put(URL, lambda request: request.answer(200, data))
    assert picture_refusal(URL) == said
    assert not [each for each in temporary.rglob("*") if each.is_file()]


def test_a_page_that_says_that_it_is_one(picture_refusal, web):
    web.put(URL, page)
    assert picture_refusal(URL) == PAGE


@pytest.mark.parametrize("beginning", [b"<!DOCTYPE html>" + bytes(1 << 20), b"GIF89a" * 10**5])
def test_no_megabytes_are_fetched_to_see_that(picture_refusal, web, beginning):
    flood, sent = endless(beginning, bytes(1 << 18))
    web.put(URL, flood)
    assert picture_refusal(URL) in (PAGE, "is a GIF: send a PNG, JPEG or WebP")
    assert len(sent) < 64


def test_twenty_megabytes_are_the_most_whether_they_are_announced_or_not(picture_refusal, web):
    def announced(request):
        request.send_response(200)
        request.send_header("Content-Length", "20000001")
        request.end_headers()
        request.drop()

    said = "has more than 20 MB, the most that a picture may have"
    web.put(URL, announced)
    assert picture_refusal(URL) == said
    flood, sent = endless(PNG, bytes(1 << 20))
    web.put(URL, flood)
    assert picture_refusal(URL) == said
    assert len(sent) < 64


@pytest.mark.parametrize(
    ("code", "said"),
    [
        (401, "is refused by files.example (401): it needs a key, or its URL has expired"),
        (403, "is refused by files.example (403): it needs a key, or its URL has expired"),
        (404, "leads to no file: files.example answers 404"),
        (400, "leads to no file that can be fetched: files.example answers 400"),
    ],
)
def test_a_status_is_told(picture_refusal, web, code, said):
    web.put(URL, status(code))
    assert picture_refusal(URL) == said


@pytest.mark.parametrize("code", [500, 503, 429])
def test_a_server_in_trouble_is_asked_again_and_no_caller_is_blamed(bring_picture, web, code):
    web.put(URL, status(code))
    with pytest.raises(GenerationFailed) as failure:
        bring_picture(URL)
    assert str(failure.value) == (
        f"image can't be fetched now: files.example answers {code}; send the job again."
    )
    assert web.requests(URL) == 3
    web.put(URL, status(code), PNG)
    assert bring_picture(URL)


@pytest.mark.parametrize(
    ("location", "said"),
    [
        (
            "https://intranet.example/a.png",
            "leads to a private address, which is allowed only where the worker's operator has set "
            "ALLOW_PRIVATE_ADDRESSES=true",
        ),
        (
            "https://metadata.example/latest",
            "leads to a link-local or metadata address, which is never allowed",
        ),
        ("http://elsewhere.example/a.png", NO_TLS),
        ("file:///etc/passwd", "leads from files.example to an address that is none"),
        (URL, "leads from one address to the next without an end"),
    ],
)  # fmt: skip
def test_a_redirect_leads_nowhere_that_a_url_may_not(
    picture_refusal, web, location, said, monkeypatch
):
    check = guard.check

    def as_for_a_caller(address, *, allow_private):
        # The servers of these tests are on loopback, which alone is let through.
        if address != "127.0.0.1":
            check(address, allow_private=False)

    monkeypatch.setattr(guard, "check", as_for_a_caller)
    web.put(URL, redirect(location))
    assert picture_refusal(URL) == said


def test_a_private_address_is_no_business_of_callers(picture_refusal, web):
    said = picture_refusal(URL, allow_private_addresses=False)
    assert said.startswith("leads to a private address")
    assert web.asked == []


def test_a_redirect_is_followed(bring_picture, web):
    web.put(URL, redirect("https://elsewhere.example/b"))
    web.put("https://elsewhere.example/b", PNG)
    assert bring_picture(URL).pixels.shape == (2, 3, 3)


def test_the_operator_says_which_hosts(bring_picture, picture_refusal, web):
    web.put(URL, PNG)
    assert bring_picture(URL, image_hosts="*.example")
    assert picture_refusal(URL, image_hosts="elsewhere.example,*.hf.co") == (
        "is at files.example, which is none of the worker's IMAGE_HOSTS"
    )
    web.put(URL, redirect("https://elsewhere.example/b"))
    assert picture_refusal(URL, image_hosts="files.example") == (
        "leads to a file at elsewhere.example, which is none of the worker's IMAGE_HOSTS"
    )


@pytest.mark.parametrize(
    "url",
    [
        "https://huggingface.co/owner/name/resolve/main/a.png",
        "https://huggingface.co/owner/name",
        "https://civitai.com/models/1",
        "https://civitai.com/images/1",
    ],
)
def test_a_picture_is_no_file_of_a_collection_and_no_token_is_sent_for_it(bring_picture, web, url):
    web.put(url, PNG)
    assert bring_picture(url, hf_token="hf_hush", civitai_token="civitai_hush")
    assert [asked for asked, _ in web.asked] == [url]
    assert not [value for _, headers in web.asked for value in headers.values() if "hush" in value]


@pytest.mark.parametrize("code", [401, 403])
def test_no_token_is_asked_for_either(picture_refusal, web, code):
    url = web.put("https://civitai.com/images/1", status(code))
    assert picture_refusal(url).startswith(f"is refused by civitai.com ({code})")
    web.put(url, page)
    assert picture_refusal(url) == "leads to a web page of civitai.com, not to a picture"


def test_a_full_disk_is_told_from_a_folder_that_takes_nothing():
    assert "is full; once it has more room" in str(PICTURES.not_kept(OSError(errno.ENOSPC, "x")))
    assert "can't be written to" in str(PICTURES.not_kept(OSError(errno.EROFS, "x")))
