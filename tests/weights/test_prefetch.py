import ctypes
import mmap
import os
import time

import pytest

from flux_worker.weights import prefetch

SIZE = 40 * 2**20


@pytest.fixture
def weights(tmp_path):
    """A folder with a file that the system has forgotten."""
    (tmp_path / "transformer").mkdir()
    file = tmp_path / "transformer/diffusion_pytorch_model.safetensors"
    with file.open("wb") as opened:
        opened.write(os.urandom(SIZE))
        opened.flush()
        os.fsync(opened.fileno())
        os.posix_fadvise(opened.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
    if cached(file):
        pytest.skip("this file system keeps everything in memory")
    return file


def cached(file):
    """Whether the file's last page is in memory, asked in a way that reads nothing."""
    pages = (ctypes.c_ubyte * (SIZE // mmap.PAGESIZE))()
    with file.open("r+b") as opened, mmap.mmap(opened.fileno(), SIZE) as mapped:
        begin = ctypes.c_char.from_buffer(mapped)
        libc = ctypes.CDLL(None, use_errno=True)
        assert libc.mincore(ctypes.byref(begin), ctypes.c_size_t(SIZE), pages) == 0
        del begin
    return bool(pages[-1] & 1)


def test_the_weights_are_in_memory_before_they_are_asked_for(weights):
    with prefetch.reading(weights.parents[1]):
        until = time.monotonic() + 30
        while not cached(weights) and time.monotonic() < until:
            time.sleep(0.01)
        assert cached(weights)


def test_the_end_of_the_block_can_wait_for_all_of_it(weights):
    with prefetch.reading(weights.parents[1], to_the_end=True):
        pass
    assert cached(weights)


def test_no_more_is_read_than_half_of_what_the_container_may_use(weights, tmp_path, monkeypatch):
    limit = tmp_path / "memory.max"
    limit.write_text("1000000\n")
    monkeypatch.setattr(prefetch, "CGROUP_LIMITS", (tmp_path / "none", limit))
    with prefetch.reading(weights.parents[1], to_the_end=True):
        pass
    assert not cached(weights)


def test_other_precisions_are_left_where_they_are(weights):
    weights.rename(weights.with_suffix(".fp16.safetensors"))
    with prefetch.reading(weights.parents[1], to_the_end=True):
        pass
    assert not cached(weights.with_suffix(".fp16.safetensors"))


def test_a_damaged_index_is_for_others_to_speak_of(tmp_path):
    (tmp_path / "transformer").mkdir()
    index = "transformer/diffusion_pytorch_model.safetensors.index.json"
    (tmp_path / index).write_text('{"weight_map": {"a": 1}}')
    with prefetch.reading(tmp_path):
        pass


def test_nothing_is_read_that_is_not_there(tmp_path):
    (tmp_path / "transformer").mkdir()
    (tmp_path / "transformer/diffusion_pytorch_model.safetensors").symlink_to(tmp_path / "nowhere")
    for folder in (None, tmp_path):
        with prefetch.reading(folder):
            pass
