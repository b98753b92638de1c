import subprocess
import sys

import pytest

PROCESSOR = "from runpod.serverless.utils.rp_debugger import PROCESSOR; print(PROCESSOR)"
NOT_LOOKED_AT = "Unable to get processor info."


@pytest.mark.parametrize("first", ["import flux_worker.serving", "import flux_worker.serving.sdk"])
def test_the_start_does_not_wait_for_the_processors_name(first):
    kept = "import cpuinfo; assert cpuinfo.get_cpu_info is not dict"
    assert answer(f"{first}; {kept}; {PROCESSOR}") == NOT_LOOKED_AT


def test_the_sdk_alone_still_looks_at_it():
    """Or else `flux_worker.serving` needn't keep it from that."""
    assert answer(PROCESSOR) != NOT_LOOKED_AT


def answer(program):
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()
