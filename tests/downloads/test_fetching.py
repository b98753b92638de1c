"""What is asked of an origin when its file is here already."""

import pytest
from fake_web import CDN, digest, lora, status, whole
from huggingface_hub import constants

from flux_worker.errors import GenerationFailed, InvalidRequest

URL = "https://files.example/a.safetensors?key=hush"
HUB = "https://huggingface.co"
FILE = f"{HUB}/owner/name/resolve/main/a.safetensors"
COMMIT = "c" * 40
PINNED = f"{HUB}/owner/name/resolve/{COMMIT}/a.safetensors"


def content(brought):
    return brought[0][0].digest


@pytest.fixture
def repository(web):
    web.put_hub("owner/name", {"a.safetensors": lora(1)}, COMMIT)


def test_what_has_not_changed_is_not_sent_again(bring, web):
    web.put(URL, lora())
    for _ in range(2):
        assert content(bring(URL)) == digest(lora())
    assert web.sent(URL) == [200, 304]


def test_what_has_not_changed_is_used_from_a_folder_that_takes_nothing(bring, web, tmp_path):
    web.put(URL, lora())
    bring(URL)
    (tmp_path / "cache/parts").rmdir()
    (tmp_path / "cache/parts").touch()  # whoever runs the tests: nothing can be put there
    assert content(bring(URL)) == digest(lora())


def test_a_server_that_always_sends_its_file_is_stopped_at_the_tag(bring, web, tmp_path):
    large = lora(1, 1 << 21)
    web.put(URL, lambda request: request.answer(200, large, {"ETag": 'W/"1"'}))
    bring(URL)
    (kept,) = (tmp_path / "cache/files").iterdir()
    before = kept.stat().st_ino
    assert content(bring(URL)) == digest(large)
    assert kept.stat().st_ino == before


@pytest.mark.parametrize("headers", [{}, {"ETag": ""}])
def test_a_file_without_a_tag_is_fetched_each_time(bring, web, headers):
    web.put(URL, lambda request: request.answer(200, lora(1), headers))
    bring(URL)
    web.put(URL, lambda request: request.answer(200, lora(2), headers))
    assert content(bring(URL)) == digest(lora(2))


def test_what_has_changed_is_fetched_again(bring, web):
    web.put(URL, lora(1))
    bring(URL)
    web.put(URL, lora(2))
    assert content(bring(URL)) == digest(lora(2))
    web.put(URL, lora(1))
    assert content(bring(URL)) == digest(lora(1))


def test_urls_that_differ_in_their_query_are_two(bring, web):
    seen = []

    def by_query(request):
        seen.append(request.path)
        request.answer(200, lora(len(request.path)), {"ETag": '"same"'})

    web.put(URL, by_query)
    assert content(bring(URL)) != content(bring(URL + "er"))
    assert len(seen) == 2


def test_a_hub_file_is_recognised_before_its_cdn_is_asked(bring, web, repository):
    for _ in range(2):
        assert content(bring("owner/name/a.safetensors")) == digest(lora(1))
    assert web.requests(FILE) == 2
    assert web.requests(f"https://{CDN}/{digest(lora(1))}") == 1
    web.put_hub("owner/name", {"a.safetensors": lora(2)}, "d" * 40)
    assert content(bring("owner/name/a.safetensors")) == digest(lora(2))


@pytest.mark.parametrize("path", ["owner/name/a.safetensors@main", FILE, f"{HUB}/owner/name"])
def test_the_ways_to_name_a_hub_file_are_one(bring, web, repository, path):
    bring("owner/name/a.safetensors", "owner/name")
    bring(path)
    assert web.requests(f"https://{CDN}/{digest(lora(1))}") <= 2


def test_what_is_at_a_commit_is_not_asked_about(bring, web, repository):
    for _ in range(2):
        bring(f"owner/name/a.safetensors@{COMMIT}")
        bring(f"owner/name@{COMMIT}")
    assert web.requests(PINNED) == 1
    assert web.requests(f"{HUB}/api/models/owner/name/revision/{COMMIT}") == 1


def test_a_repository_without_a_named_file_costs_one_question(bring, web, repository):
    bring("owner/name")
    web.asked.clear()
    bring("owner/name")
    assert [url for url, _ in web.asked] == [f"{HUB}/api/models/owner/name/revision/main"]


@pytest.mark.parametrize("code", [500, 503, 429])
@pytest.mark.parametrize("path", [URL, "owner/name", "owner/name/a.safetensors"])
def test_while_the_origin_has_trouble_the_copy_serves(bring, web, repository, caplog, path, code):
    web.put(URL, lora(1))
    bring(path)
    web.pages = {url: [status(code)] for url in web.pages}
    assert content(bring(path)) == digest(lora(1))
    (warning,) = [r for r in caplog.records if r.levelname == "WARNING"]
    assert warning.getMessage() == (
        "A LoRA's origin doesn't answer, so the copy in the cache is used."
    )
    assert warning.fields["host"] in ("files.example", "huggingface.co")


@pytest.mark.parametrize("path", [URL, "owner/name", "owner/name/a.safetensors"])
def test_while_the_origin_is_gone_the_copy_serves(bring, web, repository, path):
    web.put(URL, lora(1))
    bring(path)
    web.pages = {url: [lambda request: request.drop()] for url in web.pages}
    before = len(web.asked)
    assert content(bring(path)) == digest(lora(1))
    assert len(web.asked) <= before + 2  # aiohttp asks twice; the job isn't kept waiting for more


@pytest.mark.parametrize("code", [401, 403, 404])
def test_a_file_that_was_taken_away_is_not_served_from_the_cache(bring, web, code):
    web.put(URL, lora(1))
    bring(URL)
    web.put(URL, status(code))
    with pytest.raises(InvalidRequest, match=str(code)):
        bring(URL)


def test_a_new_file_that_does_not_come_is_not_replaced_by_the_old(bring, web):
    web.put(URL, whole(lora(1)))
    bring(URL)

    def broken(request):
        request.send_response(200)
        request.send_header("Content-Length", "1000000")
        request.send_header("ETag", '"new"')
        request.end_headers()
        request.drop()

    web.put(URL, broken)
    with pytest.raises(GenerationFailed, match="send the job again"):
        bring(URL)


def test_a_new_commit_that_does_not_come_is_not_replaced_by_the_old(bring, web, repository):
    bring("owner/name")
    web.put_hub("owner/name", {"a.safetensors": lora(2)}, "d" * 40)
    web.put(f"{HUB}/owner/name/resolve/{'d' * 40}/a.safetensors", status(503))
    with pytest.raises(GenerationFailed, match="send the job again"):
        bring("owner/name")


def test_offline_the_hub_is_not_asked(bring, web, repository, monkeypatch):
    bring("owner/name")
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    web.asked.clear()
    assert content(bring("owner/name")) == digest(lora(1))
    with pytest.raises(
        InvalidRequest, match="isn't in the worker's cache, and with HF_HUB_OFFLINE"
    ):
        bring("owner/other")
    assert web.asked == []


def test_nothing_of_a_url_is_kept_or_logged(bring, web, caplog, tmp_path):
    caplog.set_level("DEBUG")
    web.put(URL, lora())
    bring(URL, hf_token="hf_hush", civitai_token="civitai_hush")
    kept = [path for path in (tmp_path / "cache").rglob("*") if path.is_file()]
    assert kept
    assert not [
        path for path in kept if b"hush" in path.read_bytes() or b"files.ex" in path.name.encode()
    ]
    assert "hush" not in " ".join(str(vars(record)) for record in caplog.records)
    assert [r.fields["host"] for r in caplog.records if r.getMessage() == "Fetched a LoRA."] == [
        "files.example"
    ]
