"""Which snapshots of a repository are looked at; `test_lookup.py` has what is found in them."""

import os

from flux_worker.weights import hub_cache

COMMITS = ("a" * 40, "ab" + "c" * 38)


def cache(folder, name, refs):
    for number, commit in enumerate(COMMITS):
        snapshot = folder / name / "snapshots" / commit
        snapshot.mkdir(parents=True)
        os.utime(snapshot, (number, number))
    (folder / name / "refs").mkdir()
    for ref, commit in refs.items():
        (folder / name / "refs" / ref).write_text(f"{commit}\n")


def found(folder, revision=None, repository="Owner/Name"):
    return [each.name for each in hub_cache.snapshots(folder, repository, revision)]


def test_a_commit_may_be_written_in_short(tmp_path):
    cache(tmp_path, "models--Owner--Name", {})
    assert found(tmp_path, "aaaaaaa") == [COMMITS[0]]
    assert found(tmp_path, "ABCCCCC") == [COMMITS[1]]
    assert found(tmp_path, "aaaaaa") == []  # git shows seven digits
    assert found(tmp_path, "fffffff") == []


def test_a_branch_is_one_commit(tmp_path):
    cache(tmp_path, "models--Owner--Name", {"main": COMMITS[0], "abccccc": COMMITS[0]})
    assert found(tmp_path) == [COMMITS[0]]
    assert found(tmp_path, "main") == [COMMITS[0]]
    assert found(tmp_path, "abccccc") == [COMMITS[0]]
    assert found(tmp_path, "v2") == []


def test_of_a_cache_that_knows_no_newest_all_are_named(tmp_path):
    cache(tmp_path, "models--Owner--Name", {"v1": COMMITS[0]})
    assert found(tmp_path) == [COMMITS[1], COMMITS[0]]


def test_other_repositories_are_others(tmp_path):
    cache(tmp_path, "models--owner--name", {"main": COMMITS[0]})
    assert found(tmp_path) == [COMMITS[0]]
    assert found(tmp_path, repository="owner/nam") == []
    assert found(tmp_path / "none") == []
