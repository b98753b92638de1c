"""A file's way here: broken, resumed, changed, too long, too large."""

import time
from contextlib import suppress

import pytest
from fake_web import CDN, cut, digest, endless, etag, lora, redirect, status, whole
from lora_sources import QUICK

from flux_worker.downloads.attempts import Limits
from flux_worker.errors import GenerationFailed, InvalidRequest

URL = "https://files.example/a.safetensors?key=hush"
DATA = lora(1, 1 << 20)
OTHER = lora(2, 1 << 20)
HALF = len(DATA) // 2


def content(brought):
    return brought[0][0].digest


def ranges(web):
    return [headers.get("Range") for _, headers in web.asked]


@pytest.mark.parametrize("at", [1000, HALF, len(DATA) - 1])
def test_a_download_that_breaks_is_resumed(bring, web, at):
    web.put(URL, cut(DATA, at), whole(DATA))
    assert content(bring(URL)) == digest(DATA)
    assert ranges(web) == [None, f"bytes={at}-"]
    assert web.sent(URL) == [200, 206]


def test_one_that_breaks_before_its_first_byte_is_begun_again(bring, web):
    web.put(URL, cut(DATA, 0), lambda request: request.drop(), whole(DATA))
    assert content(bring(URL)) == digest(DATA)


def test_a_server_that_knows_no_ranges_sends_it_all_again(bring, web):
    def all_of_it(request):
        request.answer(200, DATA)

    web.put(URL, cut(DATA, HALF), all_of_it)
    assert content(bring(URL)) == digest(DATA)


def test_a_weak_tag_is_not_resumed_by(bring, web):
    web.put(URL, cut(DATA, HALF, 'W/"1"'), whole(DATA))
    assert content(bring(URL)) == digest(DATA)
    assert ranges(web) == [None, None]


def test_a_file_that_changed_meanwhile_is_begun_again(bring, web):
    web.put(URL, cut(DATA, HALF), whole(OTHER))
    assert content(bring(URL)) == digest(OTHER)


def rest(data, at, tag):
    def give(request):
        place = f"bytes {at}-{len(data) - 1}/{len(data)}"
        request.answer(206, data[at:], {"ETag": tag, "Content-Range": place})

    return give


@pytest.mark.parametrize(("at", "tag"), [(HALF, '"2"'), (HALF - 1, '"1"'), (0, '"1"')])
def test_the_rest_of_another_file_is_not_added(bring, web, at, tag):
    """Of a server that sends a part although the tag has changed, or another part."""
    web.put(URL, cut(DATA, HALF, '"1"'), rest(OTHER, at, tag), whole(OTHER))
    assert content(bring(URL)) == digest(OTHER)


@pytest.mark.parametrize("first", [cut(DATA, HALF), None])
def test_a_part_that_ends_too_early_is_not_all(bring, web, first):
    """Of a server that gives so much at once, asked for a range or not."""

    def piece(request):
        at = int(request.headers.get("Range", "bytes=0-")[6:-1])
        end = min(at + HALF * 3 // 4, len(DATA))
        place = f"bytes {at}-{end - 1}/{len(DATA)}"
        request.answer(206, DATA[at:end], {"ETag": etag(DATA), "Content-Range": place})

    web.put(URL, *filter(None, [first, piece]))
    assert content(bring(URL)) == digest(DATA)


def test_breaks_after_much_has_come_are_no_failures(bring, web, monkeypatch):
    eighth = len(DATA) // 8
    monkeypatch.setattr("flux_worker.downloads.transfer.PROGRESS", eighth)

    def piece(request):
        at = int(request.headers.get("Range", "bytes=0-")[6:-1])
        request.send_response(206 if at else 200)
        request.send_header("Content-Length", str(len(DATA) - at))
        request.send_header("Content-Range", f"bytes {at}-{len(DATA) - 1}/{len(DATA)}")
        request.send_header("ETag", etag(DATA))
        request.end_headers()
        request.wfile.write(DATA[at : at + eighth])
        request.drop()

    web.put(URL, piece)
    assert content(bring(URL)) == digest(DATA)
    assert web.requests(URL) > len(QUICK.pauses) + 1


def test_a_range_that_the_server_does_not_have_begins_again(bring, web):
    web.put(URL, cut(DATA, HALF), status(416), whole(DATA))
    assert content(bring(URL)) == digest(DATA)


def test_a_hub_files_rest_is_asked_from_the_hub_again(bring, web):
    """The CDN's signed URL may have expired."""
    web.put_hub("owner/name", {"a.safetensors": DATA}, "c" * 40)
    web.put(f"https://{CDN}/{digest(DATA)}", cut(DATA, HALF), whole(DATA))
    assert content(bring("owner/name/a.safetensors")) == digest(DATA)
    assert web.requests("https://huggingface.co/owner/name/resolve/main/a.safetensors") == 2
    assert web.sent(f"https://{CDN}/{digest(DATA)}") == [200, 206]


def test_a_hub_file_that_arrives_changed_is_not_used(bring, web):
    web.put_hub("owner/name", {"a.safetensors": DATA}, "c" * 40)
    web.put(f"https://{CDN}/{digest(DATA)}", OTHER)
    with pytest.raises(GenerationFailed, match="breaks off again and again; send the job again"):
        bring("owner/name/a.safetensors")


def test_one_that_breaks_again_and_again_is_given_up(bring, web, tmp_path):
    web.put(URL, cut(DATA, HALF, 'W/"1"'))
    with pytest.raises(GenerationFailed) as failure:
        bring(URL)
    assert str(failure.value) == (
        "loras[0].path can't be fetched now: files.example doesn't answer, or breaks off again and "
        "again; send the job again."
    )
    assert web.requests(URL) == 3
    assert not [each for each in (tmp_path / "cache").rglob("*") if each.is_file()]


@pytest.mark.parametrize("code", [408, 429, 500, 502, 503, 521, 599])
def test_an_origin_with_trouble_is_asked_again(bring, web, code):
    web.put(URL, status(code), whole(DATA))
    assert content(bring(URL)) == digest(DATA)
    web.put(URL, status(code))
    with pytest.raises(GenerationFailed, match=f"files.example answers {code}; send the job again"):
        bring(URL + "2")


def test_an_origin_that_is_not_there_is_no_fault_of_the_callers(bring, web):
    with pytest.raises(GenerationFailed, match=r"nowhere\.example doesn't answer"):
        bring("https://nowhere.example/a.safetensors", lora_hosts="*")


def test_a_slow_drip_ends_with_the_time_for_it(bring, web, tmp_path):
    def drip(request):
        request.send_response(200)
        request.send_header("Content-Length", str(len(DATA)))
        request.end_headers()
        with suppress(OSError):
            for byte in DATA:
                request.wfile.write(bytes([byte]))
                time.sleep(0.02)

    web.put(URL, drip)
    with pytest.raises(GenerationFailed) as failure:
        bring(URL, limits=Limits(0.5, (0,)))
    assert "files.example takes longer than 0.5 seconds; send the job" in str(failure.value)
    assert not [each for each in (tmp_path / "cache").rglob("*") if each.is_file()]


def announced(length):
    def give(request):
        request.send_response(200)
        request.send_header("Content-Length", str(length))
        request.end_headers()
        request.wfile.write(DATA[:1000])
        request.drop()

    return give


ENDLESS, _ = endless(DATA, bytes(1 << 16))


@pytest.mark.parametrize("handler", [announced(10**12), ENDLESS], ids=["announced", "endless"])
def test_no_more_is_taken_than_the_operator_allows(bring, web, handler, tmp_path):
    web.put(URL, handler)
    with pytest.raises(InvalidRequest) as refusal:
        bring(URL, max_lora_mb=5)
    assert refusal.value.faults == (
        "loras[0].path has more than 5 MB, which is the worker's MAX_LORA_MB",
    )
    assert not [each for each in (tmp_path / "cache").rglob("*") if each.is_file()]


def test_a_hub_file_that_is_too_large_is_not_asked_for_at_its_cdn(bring, web):
    linked = {"X-Linked-ETag": '"1"', "X-Linked-Size": str(10**9)}
    at = web.put(f"https://{CDN}/x", announced(10**9))
    web.put(
        "https://huggingface.co/owner/name/resolve/main/a.safetensors", redirect(at, 302, linked)
    )
    with pytest.raises(InvalidRequest, match="has more than 5 MB"):
        bring("owner/name/a.safetensors", max_lora_mb=5)


def test_a_file_longer_than_it_says_is_damaged(bring, web):
    """More than was announced isn't read."""

    def give(request):
        request.send_response(200)
        request.send_header("Content-Length", str(HALF))
        request.end_headers()
        request.wfile.write(DATA)
        request.drop()

    web.put(URL, give)
    with pytest.raises(InvalidRequest, match=r"a \.safetensors file that is damaged or incomplete"):
        bring(URL)
