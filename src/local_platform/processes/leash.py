"""Keeps a server from outliving the program that started it, whatever ends that program.

The leash is a small process between the two: it holds the read end of a pipe whose other end only
the program has. When the program ends, even by SIGKILL, the pipe closes, and the leash kills the
server and removes what it left behind, children included.
"""

import os
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Iterable, Mapping
from contextlib import ExitStack, suppress
from pathlib import Path


def start(
    command: list[str],
    environment: Mapping[str, str],
    log: Path | None = None,
    leftovers: Iterable[Path] = (),
) -> "subprocess.Popen[bytes]":
    """Start a server on a leash.

    Args:
        command: the server's program and arguments.
        environment: its whole environment.
        log: the file that takes its output; by default it goes where the program's own goes.
        leftovers: files and folders to remove when it has ended.

    Returns:
        The leash, to be handed to `end`.
    """
    with ExitStack() as opened:
        output = opened.enter_context(log.open("ab")) if log else None
        return subprocess.Popen(
            on_leash(command, leftovers),
            env=dict(environment),
            stdin=subprocess.PIPE,
            stdout=output,
            stderr=output,
            start_new_session=True,  # Ctrl-C in a terminal reaches the program alone
        )


def on_leash(command: list[str], leftovers: Iterable[Path] = ()) -> list[str]:
    """Return the command that runs another on a leash.

    The server ends when the stdin of the process closes. SIGTERM is passed on to it.
    """
    return [sys.executable, __file__, *map(str, leftovers), "--", *command]


def end(leash: "subprocess.Popen[bytes]") -> None:
    """Kill the server, and wait until nothing of it is left."""
    if leash.stdin:
        leash.stdin.close()
    leash.wait()


def main() -> None:
    """Run the command after `--` until it ends or stdin closes, then remove the leftovers."""
    divide = sys.argv.index("--")
    leftovers, command = sys.argv[1:divide], sys.argv[divide + 1 :]
    # A group of its own, so that the server's children end with it: the SDK's heartbeat is one.
    server = subprocess.Popen(command, stdin=subprocess.DEVNULL, process_group=0)

    def kill_at_end_of_program() -> None:
        os.read(0, 1)  # unbuffered: a lock on sys.stdin would abort the exit
        os.killpg(server.pid, signal.SIGKILL)

    signal.signal(signal.SIGTERM, lambda *_: server.terminate())
    threading.Thread(target=kill_at_end_of_program, daemon=True).start()
    code = server.wait()
    with suppress(ProcessLookupError):
        os.killpg(server.pid, signal.SIGKILL)
    for path in map(Path, leftovers):
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)
    sys.exit(code if code >= 0 else 128 - code)


if __name__ == "__main__":
    main()
