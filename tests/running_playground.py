"""The playground as a process of its own, as `make playground` starts it."""

import os
import signal
import subprocess
import sys
from contextlib import contextmanager

from local_platform.processes.ports import free_ports


@contextmanager
def playing(python, log, ending=signal.SIGTERM, **environment):
    """Start it with these variables, and give its address when it answers.

    Args:
        python: the interpreter of its environment.
        log: the file that takes all that it says.
        ending: the signal that ends it.
        environment: `PORT` of a platform, or `ENDPOINT_URL`.
    """
    port = str(free_ports(1)[0])
    with log.open("w") as output:
        program = subprocess.Popen(
            [python, "-m", "playground"],
            env={
                **os.environ,
                "PLAYGROUND_PORT": port,
                "WORKER_PYTHON": sys.executable,
                **environment,
            },
            stderr=subprocess.PIPE,
            stdout=output,
            text=True,
        )
    try:
        said = ""
        for line in program.stderr:
            said += line
            if line.startswith("Playground: "):
                break
        else:
            raise AssertionError(said)
        yield f"http://127.0.0.1:{port}"
    finally:
        program.send_signal(ending)
        log.write_text(log.read_text() + said + program.stderr.read())
        program.wait(timeout=20)
