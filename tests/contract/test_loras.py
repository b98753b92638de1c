"""The LoRAs of a request: which forms there are, and what is said of any other."""

import math
import re

import pytest

from flux_worker.contract import loras
from flux_worker.contract.catalog import DEV
from flux_worker.contract.loras import HubFile, LocalFile
from flux_worker.contract.request import ImageRequest
from flux_worker.contract.urls import Url
from flux_worker.errors import InvalidRequest


def parse(given):
    return ImageRequest.parse({"prompt": "x", "loras": given}, DEV)[0].loras


def error_of(given):
    with pytest.raises(InvalidRequest) as refusal:
        parse(given)
    return str(refusal.value)


@pytest.mark.parametrize(
    ("path", "source"),
    [
        ("https://example.com/a/b.safetensors", Url("https://example.com/a/b.safetensors")),
        ("https://civitai.com/api/download/models/1?a=b#c", Url("https://civitai.com/api/download/models/1?a=b")),
        ("HTTPS://example.com/x", Url("HTTPS://example.com/x")),
        ("owner/name", HubFile("owner/name")),
        ("owner/name@main", HubFile("owner/name", "main")),
        ("owner/name/a.safetensors", HubFile("owner/name", None, "a.safetensors")),
        ("o/n@v1/sub/a b.safetensors", HubFile("o/n", "v1", "sub/a b.safetensors")),
        ("o/n/a.safetensors@refs/pr/1", HubFile("o/n", "refs/pr/1", "a.safetensors")),
        ("crescent.safetensors", LocalFile("crescent.safetensors")),
        ("crescent", LocalFile("crescent.safetensors")),
        ("Crescent.SafeTensors", LocalFile("Crescent.SafeTensors")),
        ("v1.2 größer", LocalFile("v1.2 größer.safetensors")),
    ],
)  # fmt: skip
def test_a_path_leads_to_one_place(path, source):
    (lora,) = parse([{"path": f" {path} "}])
    assert loras.source(lora.path) == source


@pytest.mark.parametrize(
    "path",
    [
        *("http://example.com/a.safetensors", "ftp://h/x", "file:///etc/passwd", "data:,x"),
        *("/runpod-volume/loras/a.safetensors", "../a.safetensors", "a/../../b", ".hidden"),
        *("a\\b.safetensors", "C:\\a", "a/b@x@y", "o/n@v1/a.safetensors@v2", "/", "", " "),
        *("https://", "https:///x", "https://h:0/x", "https://h:99999/x", "https://h/a b"),
        *("https://[/x", "owner/-name", "//h/x", "~/x", 1, ["a/b"], {}, True),
    ],
)
def test_any_other_path_is_refused_with_the_three_forms(path):
    assert f"loras[0].path {loras.PATH_FORM}" in error_of([{"path": path}])


def test_an_entry_of_many_keys_makes_no_long_sentence():
    given = {"path": "a", **{f"key {number}": 1 for number in range(10_000)}}
    assert len(error_of([given] * loras.MAX_LORAS)) < 1000
    assert "loras[0].weight is unknown" in error_of([{"path": "a", "weight": 1}])


@pytest.mark.parametrize("path", ["a.ckpt", "o/n/a.PT", "https://h/x.bin?y=1", "https://h/a%2Epth"])
def test_a_pickle_is_refused_by_its_name(path):
    assert "loras[0].path must name a .safetensors file" in error_of([{"path": path}])


@pytest.mark.parametrize("path", ["o/n/readme.md", "o/n/folder", "o/n//", "o/n@v1/a.gguf"])
def test_a_hub_file_is_a_safetensors_file(path):
    assert "must name a .safetensors file after the repository" in error_of([{"path": path}])


@pytest.mark.parametrize("path", ["\ud83d", "a\udfff.safetensors", "o/n/\udce9.safetensors"])
def test_half_an_emoji_names_no_file(path):
    assert "loras[0].path must be valid Unicode" in error_of([{"path": path}])


def test_a_refusal_repeats_no_key_of_a_url():
    told = error_of([{"path": "https://me:hunter2@h/x"}, {"path": "http://h/x?token=hunter2"}])
    assert "without a user name and a password" in told
    assert "hunter2" not in told
    assert "hunter2" not in repr(parse([{"path": "https://h/x?token=hunter2"}]))


@pytest.mark.parametrize("scale", [-4, 0, 0.5, 4, 4.0])
def test_a_scale_within_its_range_is_taken(scale):
    (lora,) = parse([{"path": "a", "scale": scale}])
    assert lora.scale == scale
    assert isinstance(lora.scale, float)


@pytest.mark.parametrize("scale", [-4.01, 4.01, 10**400, math.nan, math.inf, "1", True, [1]])
def test_any_other_scale_is_refused(scale):
    told = error_of([{"path": "a", "scale": scale}])
    assert re.search(r"loras\[0\]\.scale must be (a number )?between -4\.0 and 4\.0 \(got ", told)


def test_null_is_a_default():
    assert parse(None) == parse([]) == ()
    assert parse([{"path": "a", "scale": None}]) == parse([{"path": "a", "scale": 1}])


@pytest.mark.parametrize("given", ["a/b", {"path": "a"}, 1, True])
def test_what_is_no_list_is_refused(given):
    assert "loras must be a list such as" in error_of(given)


@pytest.mark.parametrize("entry", ["a/b", 1, None, ["a"]])
def test_an_entry_has_a_path_and_a_scale(entry):
    assert 'loras[0] must be {"path": …, "scale": …}' in error_of([entry])


def test_five_are_the_most():
    assert len(parse([{"path": "a"}] * 5)) == 5
    assert "loras must have at most 5 entries (got 6)" in error_of([{"path": "a"}] * 6)


def test_everything_wrong_is_said_at_once():
    told = error_of([{"scale": 9}, {"path": "x", "weight": 1}, {"path": "http://h/x"}])
    for fault in ("loras[0].path is required", "loras[0].scale must", "loras[1].weight is unknown"):
        assert fault in told
    assert "loras[2].path must" in told
