import os

import pytest

from flux_worker.adapters import local
from flux_worker.downloads.refusals import Refused, Unavailable


@pytest.fixture
def file(tmp_path):
    file = tmp_path / "a.safetensors"
    file.write_bytes(bytes(10))
    return file


def test_a_file_is_known_until_it_changes(file):
    before = local.signature(file, 10)
    assert local.signature(file, 10) == before
    os.utime(file, ns=(0, 1))
    touched = local.signature(file, 10)
    file.with_name("new").write_bytes(bytes(10))
    os.utime(file.with_name("new"), ns=(0, 1))
    file.with_name("new").replace(file)
    assert len({before, touched, local.signature(file, 10)}) == 3


def test_a_file_that_is_too_large_is_not_read(file):
    with pytest.raises(Refused, match="which is the worker's MAX_LORA_MB"):
        local.signature(file, 9)


def test_what_is_not_there_or_is_no_file(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "loop").symlink_to("loop")
    names = ("", "pipe", "loop", "pipe/below", "gone", "x" * 300, "nul\0")
    for path in (tmp_path / name for name in names):
        with pytest.raises(Refused, match="names no file in the worker's LORA_DIR"):
            local.signature(path, 10)


def test_a_volume_with_trouble_is_no_fault_of_the_callers():
    class Lost:
        def stat(self):
            raise OSError(5, "Input/output error")

    with pytest.raises(Unavailable, match="can't be read from LORA_DIR now; send the job again"):
        local.signature(Lost(), 10)
