import os
import time

import pytest

from flux_worker.adapters.lora_file import LORAS
from flux_worker.downloads import cache as caches
from flux_worker.downloads.cache import Cache, Entry

KINDS = [letter * 64 for letter in "abcdef"]


@pytest.fixture
def cache(tmp_path):
    return Cache(LORAS, tmp_path / "cache", 30)


def keep(cache, digest, size=10, age=0):
    part = cache.new_part()
    part.parent.mkdir(parents=True, exist_ok=True)
    part.write_bytes(bytes(size))
    cache.keep(part, digest)
    at = time.time() - age
    os.utime(cache.file(digest), (at, at))


def kept(cache):
    return {path.stem[0] for path in cache.file("x").parent.iterdir()}


def test_the_least_recently_used_go_first(cache):
    for digest, age in zip(KINDS[:3], (300, 200, 100), strict=True):
        keep(cache, digest, age=age)
    cache.file(KINDS[0])  # is used
    keep(cache, KINDS[3])
    assert kept(cache) == {"a", "c", "d"}
    keep(cache, KINDS[4])
    assert kept(cache) == {"a", "d", "e"}


def test_what_has_just_come_is_never_removed(cache):
    keep(cache, KINDS[0], age=100)
    keep(cache, KINDS[1], size=1000)
    assert kept(cache) == {"b"}
    keep(cache, KINDS[2])
    assert kept(cache) == {"c"}


def test_what_is_held_stays_until_it_is_let_go(cache):
    with cache.holding() as held, cache.holding():
        held.add(KINDS[0])
        keep(cache, KINDS[0], age=100)
        keep(cache, KINDS[1], size=30)
        assert kept(cache) == {"a", "b"}
    keep(cache, KINDS[2])
    assert kept(cache) == {"c"}


def test_it_is_filled_to_its_brim(cache):
    for digest in KINDS[:3]:
        keep(cache, digest)
    assert kept(cache) == {"a", "b", "c"}


def test_a_source_is_remembered_by_all_who_share_the_folder(cache, tmp_path):
    entry = Entry(KINDS[0], '"1"')
    assert cache.find("a source") is None
    cache.note("a source", entry)
    assert Cache(LORAS, tmp_path / "cache", 30).find("a source") == entry
    assert cache.find("another source") is None
    cache.note("a source", Entry(KINDS[1], None))
    assert cache.find("a source") == Entry(KINDS[1], None)


@pytest.mark.parametrize(
    "written",
    [
        "",
        "{",
        "[]",
        "null",
        '{"digest": "../../etc/passwd", "etag": null}',
        '{"etag": ""}',
        "[" * 10**5,
    ],
)
def test_a_damaged_entry_is_none(cache, tmp_path, written):
    cache.note("a source", Entry(KINDS[0], None))
    (file,) = (tmp_path / "cache/index").iterdir()
    file.write_text(written)
    assert cache.find("a source") is None


def test_what_dead_workers_leave_is_removed_and_what_others_write_is_not(cache, tmp_path):
    keep(cache, KINDS[0])
    old, new = (tmp_path / "cache/parts" / name for name in ("old", "new"))
    for path in (old, new):
        path.write_bytes(b"x")
    os.utime(old, (0, 0))
    keep(cache, KINDS[1])
    assert not old.exists()
    assert new.exists()


def test_the_index_does_not_grow_without_end(cache, tmp_path, monkeypatch):
    monkeypatch.setattr(caches, "MOST_SOURCES", 3)
    for number in range(5):
        cache.note(f"source {number}", Entry(KINDS[0], None))
        for path in (tmp_path / "cache/index").iterdir():
            os.utime(path, (path.stat().st_mtime - 10,) * 2)
    keep(cache, KINDS[0])
    assert [n for n in range(5) if cache.find(f"source {n}")] == [2, 3, 4]


def test_the_index_keeps_what_is_asked_for(cache, tmp_path, monkeypatch):
    monkeypatch.setattr(caches, "MOST_SOURCES", 1)
    for name in ("another source", "a source"):
        cache.note(name, Entry(KINDS[0], None))
        for path in (tmp_path / "cache/index").iterdir():
            os.utime(path, (path.stat().st_mtime - 10,) * 2)
    assert cache.find("another source")  # the older one
    keep(cache, KINDS[0])
    assert [name for name in ("a source", "another source") if cache.find(name)] == [
        "another source"
    ]


def test_two_workers_may_bring_the_same_file(cache, tmp_path):
    other = Cache(LORAS, tmp_path / "cache", 30)
    keep(cache, KINDS[0])
    keep(other, KINDS[0])
    assert kept(cache) == {"a"}
