import tempfile

import pytest
from rights import forbidden

from flux_worker import writable
from flux_worker.errors import CannotStart


def test_caches_get_their_folders(tmp_path, monkeypatch):
    for name in writable.CACHES:
        monkeypatch.setenv(name, str(tmp_path / "caches" / name))
    writable.require()
    assert sorted(each.name for each in (tmp_path / "caches").iterdir()) == sorted(writable.CACHES)


@pytest.mark.parametrize("name", writable.CACHES)
def test_a_cache_that_cannot_be_written_to_is_named_with_what_to_mount(tmp_path, monkeypatch, name):
    for each in writable.CACHES:
        monkeypatch.delenv(each, raising=False)
    monkeypatch.setenv(name, str(tmp_path / "cache"))
    with (
        forbidden(tmp_path),
        pytest.raises(
            CannotStart, match=rf"^{name} is .*Permission denied.*mount a tmpfs at {tmp_path}, or"
        ),
    ):
        writable.require()


def test_without_a_temporary_folder_one_is_asked_for(monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", None)
    monkeypatch.setattr(tempfile, "_candidate_tempdir_list", list)
    with pytest.raises(CannotStart, match="mount a tmpfs at /tmp"):
        writable.require()
