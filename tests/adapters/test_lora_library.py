"""What a request's LoRAs are brought as, and what is said of those that can't be."""

import asyncio
import os
import threading
from contextlib import suppress

import pytest
from fake_web import CDN, digest, lora, status, whole
from rights import forbidden
from safetensors.torch import save
from torch import zeros

from flux_worker.contract.loras import Lora
from flux_worker.errors import GenerationFailed, InvalidRequest

URL = "https://files.example/a.safetensors"
HUB = "https://huggingface.co"
OTHER_URL = "https://files.example/b.safetensors"


@pytest.fixture
def folder(tmp_path):
    folder = tmp_path / "loras"
    folder.mkdir()
    return folder


def digests(brought):
    return [adapter.digest for adapter, _ in brought]


def test_what_is_named_is_brought_in_its_order_with_its_scale(make_library, web, folder):
    (folder / "mine.safetensors").write_bytes(lora(2))
    web.put(URL, lora(1))
    web.put_hub("owner/name", {"b.safetensors": lora(3)}, "a" * 40)
    asked = [Lora(path=URL, scale=0.5), Lora(path="mine", scale=-1), Lora(path="owner/name")]
    brought = asyncio.run(make_library().bring(asked))
    assert digests(brought) == [digest(lora(1)), digest(lora(2)), digest(lora(3))]
    assert [scale for _, scale in brought] == [0.5, -1, 1]


def test_without_loras_nothing_is_touched(bring, tmp_path):
    assert bring() == ()
    assert not list(tmp_path.iterdir())


def test_all_that_is_wrong_with_a_request_is_said_at_once(bring, web, folder):
    (folder / "other.safetensors").write_bytes(save({"other": zeros(1)}))
    web.put(URL, lora())
    named = ("gone", URL, "https://hush.example/x.safetensors?key=hush", "other")
    with pytest.raises(InvalidRequest) as refusal:
        bring(*named)
    assert refusal.value.faults == (
        "loras[0].path names no file in the worker's LORA_DIR",
        "loras[2].path is at hush.example, which is none of the worker's LORA_HOSTS",
        "loras[3].path is a LoRA for another model",
    )
    assert "key" not in str(refusal.value)


def test_a_fault_counts_more_than_an_origin_that_is_down(bring, web, folder):
    web.put(URL, status(503))
    with pytest.raises(InvalidRequest, match=r"^Invalid parameter: loras\[1\].path names no file"):
        bring(URL, "gone")


def test_an_origin_that_is_down_is_no_fault_of_the_callers(bring, web):
    web.put(URL, status(503))
    with pytest.raises(GenerationFailed) as failure:
        bring(URL)
    assert str(failure.value) == (
        "loras[0].path can't be fetched now: files.example answers 503; send the job again."
    )


# -- the operator's folder


def test_a_file_is_read_again_only_when_it_has_changed(make_library, folder, reader):
    file = folder / "mine.safetensors"
    file.write_bytes(lora(1))
    library = make_library()

    def brought():
        return digests(asyncio.run(library.bring([Lora(path="mine")])))

    assert brought() == brought() == [digest(lora(1))]
    assert len(reader.read) == 1
    (folder / "new").write_bytes(lora(2))
    os.replace(folder / "new", file)
    assert brought() == [digest(lora(2))]
    assert len(reader.read) == 2


@pytest.mark.parametrize("then", [lora(2, 128), lora(2, 128)[:-1]], ids=["whole", "half"])
def test_a_file_that_changes_while_it_is_read_is_not_used(bring, folder, reader, then):
    file = folder / "mine.safetensors"
    file.write_bytes(lora(1, 64))
    reader.before = lambda _: file.write_bytes(then)
    with pytest.raises(GenerationFailed, match="was changed while it was read; send the job again"):
        bring("mine")


def test_a_file_that_the_worker_may_not_read_is_said_to_be_one(bring, folder):
    (folder / "mine.safetensors").write_bytes(lora())
    with (
        forbidden(folder),
        pytest.raises(InvalidRequest, match=r"LORA_DIR that the worker may not"),
    ):
        bring("mine")


def test_a_symlink_of_the_operators_may_lead_elsewhere(bring, folder, tmp_path):
    (tmp_path / "elsewhere").write_bytes(lora())
    (folder / "mine.safetensors").symlink_to(tmp_path / "elsewhere")
    assert digests(bring("mine")) == [digest(lora())]


# -- once for all


def bringing(library, *paths):
    return asyncio.create_task(library.bring([Lora(path=path) for path in paths]))


def test_many_jobs_share_one_download_and_one_read(make_library, web, reader):
    web.put(URL, lora())

    async def jobs():
        library = make_library()
        return await asyncio.gather(*(bringing(library, URL, URL) for _ in range(5)))

    brought = asyncio.run(jobs())
    assert {digests(each)[0] for each in brought} == {digest(lora())}
    assert web.requests(URL) == len(reader.read) == 1


@pytest.mark.parametrize(
    "names",
    [
        (URL, URL.replace("files.", "FILES."), URL.replace(".example", ".example:443")),
        ("o/n/a.safetensors", f"{HUB}/o/n/blob/main/a.safetensors", "o/n/a.safetensors@main"),
        ("o/n", f"{HUB}/o/n", "o/n@main"),
    ],
)
def test_all_names_of_a_file_share_one_download(make_library, web, reader, names):
    web.put(URL, lora())
    web.put_hub("o/n", {"a.safetensors": lora()}, "c" * 40)

    async def jobs():
        library = make_library()
        await asyncio.gather(*(bringing(library, name) for name in names))

    asyncio.run(jobs())
    cdn = f"https://{CDN}/{digest(lora())}"
    assert web.requests(URL) + web.requests(cdn) == len(reader.read) == 1


def test_the_same_loras_cost_a_question_and_no_reading(make_library, web, reader):
    web.put(URL, lora())
    web.put(OTHER_URL, lora())
    library = make_library()
    for _ in range(3):
        asyncio.run(library.bring([Lora(path=URL)]))
    asyncio.run(library.bring([Lora(path=OTHER_URL)]))  # the same content
    assert len(reader.read) == 1
    assert web.sent(URL) == [200, 304, 304]


@pytest.fixture
def held(web):
    """A download that has begun, and stays in its middle until it is let go."""
    begun, go, ended = threading.Event(), threading.Event(), threading.Event()
    data = lora(1, 1 << 20)

    def give(request):
        request.send_response(200)
        request.send_header("Content-Length", str(len(data)))
        request.end_headers()
        with suppress(OSError):
            request.wfile.write(data[: 1 << 16])
            begun.set()
            while not go.wait(0.01) and is_open(request.connection):
                pass
            request.wfile.write(data[1 << 16 :])
        ended.set()

    web.put(URL, give)
    return begun, go, ended, data


def is_open(connection):
    connection.settimeout(0.01)
    try:
        return connection.recv(1) != b""
    except TimeoutError:
        return True
    except OSError:
        return False


async def until(event):
    assert await asyncio.to_thread(event.wait, 20)


def test_a_stopped_job_ends_its_download(make_library, held, tmp_path):
    begun, go, ended, _ = held

    async def stop():
        job = bringing(make_library(), URL)
        await until(begun)
        job.cancel()
        with pytest.raises(asyncio.CancelledError):
            await job
        await until(ended)

    asyncio.run(stop())
    assert not go.is_set()
    assert not [each for each in (tmp_path / "cache").rglob("*") if each.is_file()]


def test_a_download_goes_on_for_the_other_job_that_wants_it(make_library, held, reader):
    begun, go, _, data = held

    async def stop_one():
        library = make_library()
        jobs = [bringing(library, URL), bringing(library, URL)]
        await until(begun)
        jobs[0].cancel()
        with pytest.raises(asyncio.CancelledError):
            await jobs[0]
        go.set()
        return await jobs[1]

    assert digests(asyncio.run(stop_one())) == [digest(data)]
    assert len(reader.read) == 1


def test_a_stopped_download_can_be_begun_anew(make_library, held, web):
    begun, _, ended, _ = held

    async def begin_again():
        library = make_library()
        job = bringing(library, URL)
        await until(begun)
        job.cancel()
        await until(ended)
        web.put(URL, lora())
        return await bringing(library, URL)

    assert digests(asyncio.run(begin_again())) == [digest(lora())]


# -- the cache


def test_a_file_of_the_cache_that_is_damaged_is_fetched_again(bring, web, reader, tmp_path):
    web.put(URL, whole(lora(1)))
    bring(URL)
    (kept,) = (tmp_path / "cache/files").iterdir()
    for damage in (lora(2), lora(1)[:-1], b""):
        kept.write_bytes(damage)
        assert digests(bring(URL)) == [digest(lora(1))]
        assert kept.read_bytes() == lora(1)


def test_a_file_that_is_gone_from_the_cache_is_fetched_again(bring, web, tmp_path):
    web.put(URL, lora())
    bring(URL)
    (kept,) = (tmp_path / "cache/files").iterdir()
    kept.unlink()
    assert digests(bring(URL)) == [digest(lora())]
    assert web.sent(URL) == [200, 304, 200]


def test_a_lora_that_does_not_fit_stays_in_the_cache(bring, web):
    web.put(URL, save({"other": zeros(1)}))
    for _ in range(2):
        with pytest.raises(InvalidRequest, match="is a LoRA for another model"):
            bring(URL)
    assert web.sent(URL) == [200, 304]


def test_what_another_worker_may_fetch_is_not_read_if_it_is_too_large_here(bring, web, reader):
    web.put(URL, lora(1, 1 << 19))
    bring(URL)
    with pytest.raises(InvalidRequest, match="has more than 1 MB, which is the worker's MAX_LORA"):
        bring(URL, max_lora_mb=1)
    assert len(reader.read) == 1


def test_a_set_larger_than_the_cache_is_brought_all_the_same(make_library, web, monkeypatch):
    urls = [f"https://files.example/{number}.safetensors" for number in range(5)]
    for number, url in enumerate(urls):
        web.put(url, lora(number))
    library = make_library()
    monkeypatch.setattr(library._cache, "_limit", len(lora()) + 1)
    brought = asyncio.run(library.bring([Lora(path=url) for url in urls]))
    assert digests(brought) == [digest(lora(number)) for number in range(5)]


def test_what_is_held_in_memory_counts_as_used_on_the_disk(make_library, web, tmp_path):
    web.put(URL, lora())
    library = make_library()
    asyncio.run(library.bring([Lora(path=URL)]))
    (kept,) = (tmp_path / "cache/files").iterdir()
    os.utime(kept, (0, 0))
    asyncio.run(library.bring([Lora(path=URL)]))
    assert kept.stat().st_mtime > 0


def test_a_large_lora_is_not_held(make_library, web, reader, monkeypatch):
    monkeypatch.setattr("flux_worker.adapters.lora_library.HELD", len(lora()) - 1)
    web.put(URL, lora())
    library = make_library()
    for _ in range(2):
        asyncio.run(library.bring([Lora(path=URL)]))
    assert len(reader.read) == 2
