"""SIGTERM to a worker that is a container's first process, while it starts."""

import os
import signal
import subprocess
import sys

import pytest
from conftest import ROOT

NAMESPACE = ["unshare", "--user", "--map-root-user", "--pid", "--fork", "--kill-child"]
PROGRAM = "import os, {imports} time; print(os.getpid(), flush=True); time.sleep(60)"

in_a_namespace = pytest.mark.skipif(
    subprocess.run([*NAMESPACE, "true"], capture_output=True).returncode != 0,
    reason="no namespace may be made here; `make image-test` tries the same in a container",
)


def started(imports):
    """A program as the first process of a namespace, and its id outside."""
    command = [*NAMESPACE, sys.executable, "-c", PROGRAM.format(imports=imports)]
    outer = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT / "src")
    assert outer.stdout.readline() == "1\n"
    children = f"/proc/{outer.pid}/task/{outer.pid}/children"
    with open(children) as opened:
        return outer, int(opened.read().split()[0])


@in_a_namespace
@pytest.mark.real
def test_the_first_process_ends_on_sigterm():
    outer, inner = started("flux_worker.first_process,")
    os.kill(inner, signal.SIGTERM)
    assert outer.wait(20) == 128 + signal.SIGTERM


@in_a_namespace
@pytest.mark.real
def test_without_it_the_signal_is_lost():
    """Or else the module has become needless."""
    outer, inner = started("")
    os.kill(inner, signal.SIGTERM)
    with pytest.raises(subprocess.TimeoutExpired):
        outer.wait(1)
    outer.kill()
    outer.wait()


def test_any_other_process_keeps_what_the_system_does():
    check = "import flux_worker.first_process, signal; print(signal.getsignal(signal.SIGTERM))"
    done = subprocess.run(
        [sys.executable, "-c", check], capture_output=True, text=True, cwd=ROOT / "src"
    )
    assert done.stdout.strip() == "0"  # SIG_DFL
