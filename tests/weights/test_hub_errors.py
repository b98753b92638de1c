"""What is said when the Hub's weights can't be had."""

import errno
import os
from pathlib import Path

import pytest
from conftest import DEMO
from hub_server import hub

from flux_worker.weights import hub_errors
from flux_worker.weights.layout import require_complete

DEV = "black-forest-labs/FLUX.1-dev"


def test_gated_weights_need_a_token_with_the_licence_accepted(search):
    with hub({DEV: DEMO}, gated={DEV: "hf_good"}) as server:
        without, _ = search(server.url)
        refused, log = search(server.url, HF_TOKEN="hf_other")
        found, _ = search(server.url, HF_TOKEN="hf_good")
    assert f"is gated and needs HF_TOKEN: accept the licence on {server.url}/{DEV}" in without
    assert "licence isn't accepted by the account of HF_TOKEN" in refused
    assert "hf_other" not in refused + log
    require_complete(Path(found))


REFUSALS = {
    "The Hub doesn't accept the token that it was sent, which is invalid, expired": (
        401,
        {"X-Error-Message": "Invalid credentials in Authorization header"},
    ),
    f"HF_TOKEN may not read {DEV}: give a fine-grained token read access to gated": (
        403,
        {"X-Error-Message": "Please enable access to public gated repositories"},
    ),
    f"{DEV} was disabled by the Hub": (
        403,
        {"X-Error-Message": "Access to this resource is disabled."},
    ),
    "The Hub has had too many requests from this address or token (429)": (429, {}),
    f"The Hub answered 500 for {DEV}: see whether": (500, {}),
}


@pytest.mark.parametrize("sentence", REFUSALS)
def test_each_refusal_is_told_by_its_cause(search, sentence):
    with hub({DEV: DEMO}) as server:
        server.refusal = REFUSALS[sentence]
        reason, log = search(server.url, HF_TOKEN="hf_secret")
    assert reason.startswith(sentence)
    assert "hf_secret" not in reason + log


def test_a_revision_that_is_not_there_is_named(search):
    with hub({DEV: DEMO}) as server:
        reason, _ = search(server.url, MODEL_PATH=f"{DEV}@v9")
    assert reason.startswith(f"{DEV} has no revision v9: set MODEL_PATH to {DEV}@ and a branch")


@pytest.mark.parametrize("token", ["tök\u00ebn", "a\nb"])
def test_a_token_that_can_not_be_sent_is_not_repeated(search, token):
    with hub({DEV: DEMO}, gated={DEV: "hf_good"}) as server:
        reason, log = search(server.url, HF_TOKEN=token)
    assert reason.startswith("HF_TOKEN holds something that can't be a token")
    assert token not in reason + log


@pytest.mark.parametrize(
    "path", ["nobody/nothing", "models/demmo", "/no/such/folder", "a b", "~nobody/x", "x" * 300]
)
def test_what_is_neither_folder_nor_repository_says_so(search, path):
    with hub({}) as server:
        reason, _ = search(server.url, MODEL_PATH=path)
    assert reason.startswith(f"{path} is neither a folder here nor a repository")


@pytest.mark.parametrize("address", ["mirror.example", "htp://mirror.example"])
def test_a_mirror_without_a_scheme_is_named(search, address):
    assert search(address)[0].startswith("HF_ENDPOINT must be a URL, such as https://huggingface")


def test_a_mirrors_password_is_not_repeated(search):
    reason, log = search("http://somebody:secret@127.0.0.1:9")
    assert "and http://127.0.0.1:9 can't be reached" in reason
    assert "secret" not in reason + log


def test_without_network_the_sentence_says_what_to_set(search):
    assert "can't be reached: set MODEL_PATH to a folder" in search()[0]
    assert "can't be reached: set MODEL_PATH to a folder" in search(HF_HUB_OFFLINE="1")[0]


def test_a_cache_that_can_not_be_written_is_named(search):
    with hub({DEV: DEMO}) as server:
        reason, _ = search(server.url, HF_HOME="/sys/huggingface")
    assert reason.startswith(f"The weights of {DEV} can't be written to /sys/huggingface/hub")


def test_a_cache_that_can_not_be_written_is_not_blamed_on_the_network(search):
    reason, _ = search(HF_HOME="/sys/huggingface")
    assert reason.startswith(f"The weights of {DEV} can't be written to /sys/huggingface/hub (")
    assert "set HF_HOME to a folder that is, such as one on a network volume" in reason


def test_a_read_only_disk_is_told_by_its_own_words(tmp_path):
    error = OSError(errno.EROFS, os.strerror(errno.EROFS), str(tmp_path / "hub"))
    reason = hub_errors.explain(error, DEV, tmp_path, has_token=False)
    assert f"can't be written to {tmp_path} (Read-only file system): make it" in reason


def full_disk():
    with open("/dev/full", "wb", buffering=0) as disk:
        disk.write(b"weights")


def full_disk_in_rust():
    raise RuntimeError("Data processing error: I/O error: No space left on device (os error 28)")


def used_up_quota_in_rust():
    raise RuntimeError("Data processing error: I/O error: Disk quota exceeded (os error 122)")


@pytest.mark.parametrize("write", [full_disk, full_disk_in_rust, used_up_quota_in_rust])
def test_a_full_disk_is_named_with_its_size(write, tmp_path):
    try:
        write()
    except (OSError, RuntimeError) as error:
        reason = hub_errors.explain(error, DEV, tmp_path, has_token=False)
    assert reason.startswith(f"The disk of {tmp_path} is full, or its quota used up")
