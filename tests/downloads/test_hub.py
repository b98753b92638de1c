"""Repositories of which no file is named, and mirrors of the Hub."""

import loopback
import pytest
from fake_web import digest, lora, whole
from huggingface_hub import constants

from flux_worker.errors import CannotStart

COMMIT = "c" * 40
API = "https://huggingface.co/api/models/owner/name/revision/main"


def test_the_only_lora_of_a_repository_is_meant(bring, web):
    files = {"README.md": b"#", "deep/in it.safetensors": lora(), "a.bin": b"x"}
    web.put_hub("owner/name", files, COMMIT)
    web.put(
        f"https://huggingface.co/owner/name/resolve/{COMMIT}/deep/in%20it.safetensors",
        whole(lora()),
    )
    assert bring("owner/name")[0][0].digest == digest(lora())


def test_of_several_loras_one_must_be_named(refusal, web):
    web.put_hub("owner/name", dict.fromkeys(("b.safetensors", "a.safetensors"), lora()), COMMIT)
    assert refusal("owner/name") == (
        "names a repository with several .safetensors files: add one of them, as in "
        "owner/name/a.safetensors; it has a.safetensors, b.safetensors"
    )


def test_ten_of_many_loras_are_listed(refusal, web):
    files = {f"{number:02}.safetensors": b"x" for number in range(25)}
    web.put_hub("owner/name", files, COMMIT)
    said = refusal("owner/name")
    assert said.endswith("08.safetensors, 09.safetensors and 15 more")


def test_a_repository_without_a_lora_is_none(refusal, web):
    web.put_hub("owner/name", {"model.bin": b"x"}, COMMIT)
    assert refusal("owner/name") == ("names a repository without a .safetensors file: owner/name")


@pytest.mark.parametrize("answer", [b"<html>", b"[]", b'{"sha": "x"}', b'{"siblings": [1]}', b"["])
def test_an_answer_that_is_no_list_is_no_traceback(refusal, web, answer):
    web.put(API, whole(answer))
    assert "of which the Hub tells no files" in refusal("owner/name")


def test_a_list_without_an_end_is_not_read(refusal, web, monkeypatch):
    monkeypatch.setattr("flux_worker.downloads.hub.LONGEST_LIST", 100)
    web.put(API, whole(b" " * 101))
    assert "too many files" in refusal("owner/name")


def test_the_operators_mirror_may_be_at_a_private_address_without_tls(
    bring, refusal, web, monkeypatch
):
    asked = []

    def mirror(request):
        asked.append((request.path, request.headers["Authorization"]))
        whole(lora())(request)

    with loopback.serving(mirror) as url:
        monkeypatch.setattr(constants, "ENDPOINT", url)
        for path in (
            "owner/name/a.safetensors",
            "https://huggingface.co/o/n/blob/v1/a.safetensors",
        ):
            bring(path, hf_token="hf", allow_private_addresses=False)
        assert "is at 127.0.0.1, which is none" in refusal(url.replace("http", "https"))
    assert asked == [
        ("/owner/name/resolve/main/a.safetensors", "Bearer hf"),
        ("/o/n/resolve/v1/a.safetensors", "Bearer hf"),
    ]
    assert web.asked == []


def test_a_mirrors_redirect_is_not_the_operators_word(refusal, web, monkeypatch):
    def onward(request):
        request.answer(302, headers={"Location": "http://10.0.0.1/x"})

    with loopback.serving(onward) as url:
        monkeypatch.setattr(constants, "ENDPOINT", url)
        assert "10.0.0.1, which is none" in refusal("owner/name/a.safetensors")
        assert "without TLS" in refusal("owner/name/a.safetensors", lora_hosts="*")


def test_a_callers_url_at_the_mirror_is_a_callers(refusal, web, monkeypatch):
    """The mirror is trusted with the Hub's files alone, whatever else is at its host."""
    monkeypatch.setattr(constants, "ENDPOINT", "https://elsewhere.example")
    said = refusal("https://elsewhere.example/admin")
    assert said == "is at elsewhere.example, which is none of the worker's LORA_HOSTS"
    said = refusal("https://elsewhere.example/admin", lora_hosts="*", allow_private_addresses=False)
    assert said.startswith("leads to a private address")


def test_a_blank_endpoint_is_the_hubs_own(bring, web, monkeypatch):
    web.put_hub("owner/name", {"a.safetensors": lora()}, "c" * 40)
    monkeypatch.setattr(constants, "ENDPOINT", "")
    assert bring("owner/name")


@pytest.mark.parametrize("endpoint", ["mirror.example", "https://", "https://[::1"])
def test_an_endpoint_that_is_no_url_is_said_before_any_job(make_library, monkeypatch, endpoint):
    monkeypatch.setattr(constants, "ENDPOINT", endpoint)
    with pytest.raises(CannotStart, match="HF_ENDPOINT must be a URL"):
        make_library()
