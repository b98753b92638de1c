"""One of several processes works, whatever becomes of the others."""

import errno
import os
import subprocess
import sys
import time

import pytest

from flux_worker.weights import lease

WORKER = """
import sys, time
from pathlib import Path
from flux_worker.weights import lease
lease.DEAD_AFTER, lease.BEAT, lease.POLL = 2, 0.2, 0.05
folder = Path(sys.argv[1])
with lease.held(folder / "locks" / "x", "works"):
    (folder / "inside").open("x").close()  # fails where somebody is
    time.sleep(float(sys.argv[2]))
    (folder / "inside").unlink()
"""


@pytest.fixture
def worker(tmp_path):
    """Start a process that has the lease for some seconds."""
    begun = []

    def start(seconds):
        command = [sys.executable, "-c", WORKER, tmp_path, str(seconds)]
        begun.append(subprocess.Popen(command))
        return begun[-1]

    yield start
    for process in begun:
        process.kill()
        process.wait()


@pytest.fixture
def quick(monkeypatch):
    for name, seconds in {"DEAD_AFTER": 2.0, "BEAT": 0.2, "POLL": 0.05}.items():
        monkeypatch.setattr(lease, name, seconds)


def test_no_two_have_it_at_once(worker, tmp_path):
    workers = [worker(0.2) for _ in range(5)]
    assert [each.wait(60) for each in workers] == [0] * 5
    assert not list((tmp_path / "locks").iterdir())


def test_who_takes_longer_than_the_dead_are_waited_for_keeps_it(worker, tmp_path):
    workers = [worker(6), worker(6)]
    assert [each.wait(60) for each in workers] == [0, 0]


def test_that_of_a_killed_worker_goes_to_one_of_those_who_wait(worker, tmp_path):
    killed = worker(600)
    while not (tmp_path / "inside").exists():
        time.sleep(0.05)
    waiting = [worker(0.2) for _ in range(3)]
    killed.kill()
    killed.wait()
    (tmp_path / "inside").unlink()
    assert [each.wait(60) for each in waiting] == [0, 0, 0]
    assert not list((tmp_path / "locks").iterdir())


def test_whoever_waited_knows_it(worker, tmp_path, quick, caplog):
    caplog.set_level("INFO", "flux_worker")
    path = tmp_path / "locks" / "x"
    with lease.held(path, "works") as mine:
        assert not mine.waited
    assert caplog.messages == []
    other = worker(0.5)
    while not (tmp_path / "inside").exists():
        time.sleep(0.05)
    with lease.held(path, "works") as mine:
        assert mine.waited
    assert caplog.messages == ["Another worker works: waiting for it."]
    assert other.wait(60) == 0


def test_it_is_given_back_by_a_block_that_fails(tmp_path, quick):
    path = tmp_path / "x"
    with pytest.raises(ZeroDivisionError), lease.held(path, "works"):
        raise ZeroDivisionError
    with lease.held(path, "works") as mine:
        assert not mine.waited


def test_an_owner_who_was_held_for_dead_leaves_his_successor_alone(tmp_path, quick, monkeypatch):
    monkeypatch.setattr(lease, "BEAT", 600)
    path = tmp_path / "x"
    with lease.held(path, "works"):
        with lease.held(path, "works") as mine:
            assert mine.waited
            assert os.listdir(tmp_path) == ["x.2"]
        with lease.held(path, "works") as mine:
            assert not mine.waited


def test_an_owner_who_was_held_for_dead_leaves_alone_whoever_has_his_number(tmp_path, quick):
    path = tmp_path / "x"
    with lease.held(path, "works") as mine:
        mine.file.unlink()
        with lease.held(path, "works") as other:
            assert other.file == mine.file
            assert mine.is_lost()
            assert not other.is_lost()
            time.sleep(3 * lease.BEAT)
            assert not other.is_lost()


def test_an_owner_who_comes_back_removes_no_other_ones_file(tmp_path, quick):
    path = tmp_path / "x"
    with lease.held(path, "works") as mine:
        mine.file.write_bytes(b"another")
    assert mine.file.exists()


def test_a_full_disk_leaves_nobody_waiting(tmp_path, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "write", full)
    with pytest.raises(OSError, match="No space left"), lease.held(tmp_path / "x", "works"):
        pass
    assert not list(tmp_path.iterdir())
