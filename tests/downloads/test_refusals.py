"""What callers and operators are told, by cause."""

import pytest
from fake_web import CDN, lora, page, redirect, status

from flux_worker.errors import GenerationFailed

URL = "https://files.example/a.safetensors?key=hush"
FILE = "https://huggingface.co/owner/name/resolve/main/a.safetensors"
TOKEN = {"hf_token": "hf_hush"}


@pytest.mark.parametrize(
    ("code", "word", "settings", "said"),
    [
        (
            401,
            "GatedRepo",
            {},
            "names owner/name, which is gated: the worker's operator must accept its terms on "
            "https://huggingface.co/owner/name and set HF_TOKEN",
        ),
        (
            403,
            "GatedRepo",
            TOKEN,
            "names owner/name, which is gated: the account of the worker's HF_TOKEN must be "
            "granted access on https://huggingface.co/owner/name",
        ),
        (
            401,
            "RepoNotFound",
            {},
            "names owner/name, which isn't on the Hub, or is private and can't be read without a "
            "HF_TOKEN",
        ),
        (
            404,
            "RepoNotFound",
            TOKEN,
            "names owner/name, which isn't on the Hub, or is private and can't be read by the "
            "worker's HF_TOKEN",
        ),
        (
            404,
            "RevisionNotFound",
            {},
            "names a revision that owner/name doesn't have: see "
            "https://huggingface.co/owner/name/commits/main",
        ),
        (
            404,
            "EntryNotFound",
            {},
            "names a file that owner/name doesn't have: see "
            "https://huggingface.co/owner/name/tree/main",
        ),
        (401, None, TOKEN, "can't be had from owner/name: the Hub doesn't accept the worker's"),
        (403, None, TOKEN, "names owner/name, which the worker's HF_TOKEN may not read"),
        (401, None, {}, "names owner/name, which isn't on the Hub, or is private"),
        (
            451,
            "DisabledRepo",
            {},
            "names owner/name, for which the Hub answers 451: see whether "
            "https://huggingface.co/owner/name opens",
        ),
    ],
)
def test_the_hubs_word_decides(refusal, web, code, word, settings, said):
    web.put(FILE, status(code, {"X-Error-Code": word} if word else {}))
    assert refusal("owner/name/a.safetensors", **settings).startswith(said)


def test_a_cdns_word_is_none_on_repositories(refusal, web):
    web.put(FILE, redirect(f"https://{CDN}/x?sig=hush"))
    web.put(f"https://{CDN}/x", status(403))
    said = refusal("owner/name/a.safetensors")
    assert said.startswith(f"is refused by {CDN} (403)")


@pytest.mark.parametrize(
    "answer",
    [status(401), status(403), redirect("/login?returnUrl=hush")],
    ids=["401", "403", "307"],
)
@pytest.mark.parametrize(
    ("settings", "said"),
    [
        (
            {},
            "is a file that civitai.com gives to accounts only: the worker's operator must set "
            "CIVITAI_TOKEN",
        ),
        (
            {"civitai_token": "hush"},
            "is a file that civitai.com doesn't give to the worker's CIVITAI_TOKEN",
        ),
    ],
)
def test_civitai_wants_an_account(refusal, web, answer, settings, said):
    web.put("https://civitai.com/api/download/models/7", answer)
    web.put("https://civitai.com/login", page)
    assert refusal("https://civitai.com/api/download/models/7", **settings) == said


@pytest.mark.parametrize(
    ("code", "said"),
    [
        (401, "is refused by files.example (401): it needs a key, or its URL has expired"),
        (403, "is refused by files.example (403): it needs a key, or its URL has expired"),
        (404, "leads to no file: files.example answers 404"),
        (410, "leads to no file: files.example answers 410"),
        (204, "leads to no file that can be fetched: files.example answers 204"),
        (302, "leads to no file that can be fetched: files.example answers 302"),
        (400, "leads to no file that can be fetched: files.example answers 400"),
    ],
)
def test_other_hosts_have_their_status(refusal, web, code, said):
    web.put(URL, status(code))
    assert refusal(URL) == said


@pytest.mark.parametrize("path", ["files", "index", "parts"])
def test_a_cache_that_cannot_be_written_to_is_the_operators_affair(bring, web, tmp_path, path):
    web.put(URL, lora())
    (tmp_path / "cache").mkdir()
    (tmp_path / "cache" / path).write_text("in the way")
    with pytest.raises(GenerationFailed) as failure:
        bring(URL)
    assert str(failure.value) == (
        "loras[0].path can't be kept: the folder of LORA_CACHE_DIR can't be written to; once it is "
        "writable for the worker's user, or names another folder, send the job again."
    )
