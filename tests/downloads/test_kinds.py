import errno

import pytest

from flux_worker.adapters.lora_file import LORAS


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT])
def test_a_full_disk_is_told_from_one_that_cannot_be_written_to(code):
    assert "the disk of LORA_CACHE_DIR is full" in str(LORAS.not_kept(OSError(code, "x")))
    assert "can't be written to" in str(LORAS.not_kept(OSError(errno.EROFS, "x")))
