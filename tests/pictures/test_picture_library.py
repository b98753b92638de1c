"""The pictures of requests: brought once, kept in private, asked about each time."""

import asyncio
import base64
import os
import stat
import threading

import pytest
from fake_web import lora, status, whole
from picture_files import corners, encoded, noise

from flux_worker.downloads.attempts import Limits
from flux_worker.errors import GenerationFailed, InvalidRequest
from flux_worker.pictures import picture_library

URL = "https://files.example/a.png?key=hush"
OTHER = "https://elsewhere.example/b.png"
PNG = encoded(corners())


def data_url(data):
    return "data:image/png;base64," + base64.b64encode(data).decode()


def test_each_is_returned_by_the_name_of_its_parameter(make_pictures, web):
    web.put(URL, encoded(noise(3, 4)))
    wanted = {"image": URL, "mask_image": data_url(PNG)}
    brought = asyncio.run(make_pictures().bring(wanted))
    assert {name: each.pixels.shape for name, each in brought.items()} == {
        "image": (4, 3, 3),
        "mask_image": (2, 3, 3),
    }
    assert asyncio.run(make_pictures().bring({})) == {}


def test_a_data_url_is_judged_by_what_it_holds(bring_picture, picture_refusal):
    assert bring_picture("data:image/jpeg" + data_url(PNG)[14:]).pixels.shape == (2, 3, 3)
    assert picture_refusal(data_url(b"GIF89a")) == "is a GIF: send a PNG, JPEG or WebP"
    assert picture_refusal(data_url(PNG[:-1])).startswith("is a PNG that is incomplete")


def test_every_fault_is_named(make_pictures, web):
    web.put(URL, status(404))
    with pytest.raises(InvalidRequest) as refusal:
        asyncio.run(make_pictures().bring({"image": URL, "mask_image": data_url(b"")}))
    assert str(refusal.value) == (
        "Invalid parameter: image leads to no file: files.example answers 404 (Invalid image URL); "
        "mask_image is no picture that is known here: send a PNG, JPEG or WebP (Invalid image URL)"
    )


def test_the_same_url_is_fetched_once_for_all_who_want_it(make_pictures, web):
    web.put(URL, PNG)
    pictures = make_pictures()

    async def both():
        return await asyncio.gather(
            pictures.bring({"image": URL, "mask_image": URL}), pictures.bring({"image": URL})
        )

    assert len(asyncio.run(both())) == 2
    assert web.requests(URL) == 1


def test_its_origin_is_asked_each_time_and_sends_it_once(make_pictures, web):
    web.put(URL, PNG)
    pictures = make_pictures()
    for _ in range(2):
        assert asyncio.run(pictures.bring({"image": URL}))["image"].pixels.shape == (2, 3, 3)
    assert web.sent(URL) == [200, 304]
    web.put(URL, encoded(noise(5, 5)))
    assert asyncio.run(pictures.bring({"image": URL}))["image"].pixels.shape == (5, 5, 3)
    assert web.sent(URL) == [200, 304, 200]


def test_while_its_origin_has_trouble_the_copy_serves(make_pictures, web, caplog):
    web.put(URL, PNG)
    pictures = make_pictures()
    asyncio.run(pictures.bring({"image": URL}))
    web.put(URL, status(503))
    assert asyncio.run(pictures.bring({"image": URL}))
    assert "A picture's origin doesn't answer, so the copy in the cache is used." in [
        record.getMessage() for record in caplog.records
    ]


@pytest.mark.parametrize("damage", [lambda file: file.unlink(), lambda file: file.write_bytes(PNG)])
def test_a_copy_that_is_gone_or_changed_is_fetched_again(make_pictures, web, temporary, damage):
    web.put(URL, encoded(noise(5, 5)))
    pictures = make_pictures()
    asyncio.run(pictures.bring({"image": URL}))
    (kept,) = temporary.glob("*/files/*")
    damage(kept)
    assert asyncio.run(pictures.bring({"image": URL}))["image"].pixels.shape == (5, 5, 3)


def test_nobody_else_can_read_them_and_they_go_with_the_worker(make_pictures, web, temporary):
    web.put(URL, PNG)
    pictures = make_pictures()
    asyncio.run(pictures.bring({"image": URL}))
    (folder,) = temporary.iterdir()
    assert stat.S_IMODE(os.stat(folder).st_mode) == 0o700
    assert [each.read_bytes() for each in folder.glob("files/*")] == [PNG]
    del pictures
    assert list(temporary.iterdir()) == []


def test_nothing_of_a_url_is_kept_or_logged(make_pictures, web, caplog, temporary):
    caplog.set_level("DEBUG")
    web.put(URL, PNG)
    pictures = make_pictures()
    asyncio.run(pictures.bring({"image": URL}))
    kept = [path for path in temporary.rglob("*") if path.is_file()]
    assert kept
    assert not [path for path in kept if b"hush" in path.read_bytes() or "hush" in path.name]
    assert "hush" not in " ".join(str(vars(record)) for record in caplog.records)
    assert "Fetched a picture." in [record.getMessage() for record in caplog.records]


def test_a_server_that_takes_too_long_is_given_up(make_pictures, web):
    gone = threading.Event()
    web.put(URL, lambda request: gone.wait(30))
    pictures = make_pictures(Limits(0.3, ()))
    with pytest.raises(GenerationFailed, match=r"files\.example takes longer than 0\.3 seconds"):
        asyncio.run(pictures.bring({"image": URL}))
    gone.set()


def test_a_minute_is_what_a_picture_may_take():
    assert picture_library.LIMITS.patience == 60


def test_a_cancelled_job_stops_its_download(make_pictures, web, temporary):
    begun, gone = threading.Event(), threading.Event()

    def slow(request):
        request.send_response(200)
        request.send_header("Content-Length", "1000000")
        request.end_headers()
        request.wfile.write(PNG)
        begun.set()
        while not gone.wait(0.02):
            try:
                request.wfile.write(bytes(1000))
            except OSError:
                gone.set()
        request.close_connection = True

    web.put(URL, slow)

    async def stopped():
        job = asyncio.create_task(make_pictures().bring({"image": URL}))
        await asyncio.to_thread(begun.wait, 30)
        job.cancel()
        with pytest.raises(asyncio.CancelledError):
            await job
        assert await asyncio.to_thread(gone.wait, 30), "the connection stayed open"

    asyncio.run(stopped())
    assert not [each for each in temporary.rglob("parts/*") if each.is_file()]


def test_one_is_decoded_at_a_time(make_pictures, monkeypatch):
    now, most = [], []

    def slow(data):
        now.append(data)
        most.append(len(now))
        threading.Event().wait(0.05)
        now.pop()
        return data

    monkeypatch.setattr(picture_library, "decode", slow)
    pictures = make_pictures()
    wanted = {f"image {n}": data_url(bytes([n])) for n in range(4)}
    assert len(asyncio.run(pictures.bring(wanted))) == 4
    assert max(most) == 1


def test_what_is_kept_of_others_stays_apart(make_pictures, web):
    """A LoRA in place of a picture is told by its beginning."""
    web.put(URL, whole(lora()))
    with pytest.raises(InvalidRequest, match="is no picture that is known here"):
        asyncio.run(make_pictures().bring({"image": URL}))
