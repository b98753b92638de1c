"""Times whole programs, from their start to what they say."""

import os
import subprocess
import time
from threading import Timer

from local_platform.processes.surroundings import ROOT

LONGEST = 600.0  # seconds until a program that says nothing is ended


def seconds_until(command: list[str], said: bytes, environment: dict[str, str]) -> float:
    """Start a program and end it once it has printed a line with `said`; return the seconds.

    Raises:
        RuntimeError: it ended before.
    """
    begin = time.perf_counter()
    with subprocess.Popen(
        command,
        cwd=os.fspath(ROOT),
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    ) as program:
        limit = Timer(LONGEST, program.kill)
        limit.start()
        if program.stdout is None or not any(said in line for line in program.stdout):
            raise RuntimeError(f"{command[-1]} ended before it was ready")
        seconds = time.perf_counter() - begin
        limit.cancel()
        program.kill()
    return seconds
