import os
import time

import pytest

from flux_worker import prefetch

SIZE = 40 * 2**20


@pytest.fixture
def weights(tmp_path):
    """A folder with a file that the system has forgotten."""
    (tmp_path / "transformer").mkdir()
    file = tmp_path / "transformer/model.safetensors"
    with file.open("wb") as opened:
        opened.write(os.urandom(SIZE))
        opened.flush()
        os.fsync(opened.fileno())
        os.posix_fadvise(opened.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
    if cached(file):
        pytest.skip("this file system keeps everything in memory")
    return file


def cached(file):
    """Whether the file's last bytes can be read without waiting for the disk."""
    with file.open("rb") as opened:
        try:
            return bool(os.preadv(opened.fileno(), [bytearray(16)], SIZE - 16, os.RWF_NOWAIT))
        except BlockingIOError:
            return False


def test_the_weights_are_in_memory_before_they_are_asked_for(weights):
    with prefetch.reading(weights.parents[1]):
        until = time.monotonic() + 30
        while not cached(weights) and time.monotonic() < until:
            time.sleep(0.01)
        assert cached(weights)


def test_nothing_is_read_that_is_not_there(tmp_path):
    (tmp_path / "transformer").mkdir()
    (tmp_path / "transformer/gone.safetensors").symlink_to(tmp_path / "nowhere")
    for folder in (None, tmp_path):
        with prefetch.reading(folder):
            pass
