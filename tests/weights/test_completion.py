"""What is brought and what is compared; `test_download.py` has the whole way over HTTP."""

import hashlib
import os
import time

import pytest

from flux_worker.errors import CannotStart
from flux_worker.weights import completion, hub_errors
from flux_worker.weights.remote import Remote, RemoteFile

CONTENT = b"weights"
LISTED = RemoteFile("vae/x", len(CONTENT), hashlib.sha256(CONTENT).hexdigest())


class Folder(Remote):
    """A repository of one file, which it writes as it is told."""

    def fetch_large(self, commit, files, into, bar):
        (into / "vae").mkdir(exist_ok=True)
        for file in files:
            (into / file.name).write_bytes(self.token)
        return into


def complete(folder, comes=CONTENT, files=(LISTED,)):
    folder.mkdir(exist_ok=True, parents=True)
    remote = Folder("somebody/flux", comes)
    advice = hub_errors.AT_RUN_TIME
    return completion.complete(remote, folder, files, advice, is_plain=True)


def test_what_was_brought_is_named_and_nothing_else(tmp_path):
    assert complete(tmp_path) == [tmp_path / "vae/x"]
    assert complete(tmp_path) == []
    assert complete(tmp_path, files=()) == []


@pytest.mark.parametrize("comes", [b"weight", b"weighed"], ids=["too short", "other bytes"])
def test_what_is_not_the_listed_file_is_no_file(tmp_path, comes):
    with pytest.raises(CannotStart, match=r"^vae/x of .* has come damaged, and was removed: start"):
        complete(tmp_path, comes)
    assert complete(tmp_path) == [tmp_path / "vae/x"]


def test_a_file_outside_of_the_cache_that_a_link_leads_to_is_left_alone(tmp_path):
    own = tmp_path / "own"
    own.write_bytes(b"the operator's")
    folder = tmp_path / "repository/snapshots/c"
    (folder / "vae").mkdir(parents=True)
    (folder / "vae/x").symlink_to(own)
    complete(folder)
    assert own.read_bytes() == b"the operator's"
    assert (folder / "vae/x").read_bytes() == CONTENT


def test_only_what_nobody_writes_any_more_is_cleared_away(tmp_path):
    blobs = tmp_path / "blobs"
    blobs.mkdir()
    dead, alive = blobs / "a.1.incomplete", blobs / "b.2.incomplete"
    for part, seconds in ((dead, 100), (alive, 10)):
        part.write_bytes(b"half")
        os.utime(part, (time.time() - seconds,) * 2)
    complete(tmp_path / "snapshots/c")
    assert list(blobs.iterdir()) == [alive]


def test_what_is_here_needs_no_room(tmp_path, monkeypatch):
    full = os.statvfs_result((0,) * 11)
    complete(tmp_path)
    monkeypatch.setattr(os, "statvfs", lambda _: full)
    complete(tmp_path)
    (tmp_path / "vae/x").unlink()
    with pytest.raises(CannotStart, match=r"needs 0\.0 GB more in .* has 0\.0 GB free"):
        complete(tmp_path)
