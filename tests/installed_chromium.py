"""Which Chromium the tests drive: the machine's, or one that is installed for them.

npm's comes first, for it is pinned, takes seconds, needs no rights and changes nothing outside
this folder; it is built for x86-64 alone. Debian's is for other processors.
"""

import os
import shutil
import subprocess
from functools import cache
from pathlib import Path

import nodejs
import pytest

FOLDER = Path(__file__).parent / "chromium"
UNPACKED = FOLDER / "node_modules" / "unpacked"  # `npm ci` deletes it along with the package
ON_PATH = ("chromium", "chromium-browser", "google-chrome")
NONE = (
    "The tests need a browser and could not install one: install Chromium (Debian: `apt-get "
    "install chromium`), or set CHROMIUM to the path of one."
)


@cache
def executable() -> str:
    """The path of a Chromium that starts. The test fails if there is none to be had."""
    if given := os.environ.get("CHROMIUM"):
        return _working(given) or pytest.fail(f"CHROMIUM={given} does not start.", pytrace=False)
    with nodejs.one_at_a_time(FOLDER / "package.json"):
        for obtain in (_on_path, _from_npm, _from_debian):
            if found := obtain():
                return found
    pytest.fail(NONE, pytrace=False)


def _working(command: str | Path) -> str | None:
    """The command's path, if it is a browser: Ubuntu's `chromium-browser` only names a snap."""
    path = shutil.which(command)
    if path is None:
        return None
    try:
        done = subprocess.run([path, "--version"], capture_output=True, check=False)
    except OSError:  # built for another processor
        return None
    return path if done.returncode == 0 else None


def _on_path() -> str | None:
    return next(filter(None, map(_working, ON_PATH)), None)


def _from_npm() -> str | None:
    try:
        nodejs.install(FOLDER)
        if not UNPACKED.exists():
            _unpack()
    except AssertionError:
        return None
    return _working(UNPACKED / "chromium.sh")


def _unpack() -> None:
    part = UNPACKED.with_name("unpacking")
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir()
    # By this variable the package knows a machine that has no libraries of its own.
    lambda_ = {"TMPDIR": str(part), "AWS_EXECUTION_ENV": "AWS_Lambda_nodejs24.x"}
    done = nodejs.run("unpack.mjs", folder=FOLDER, environment=lambda_)
    assert done.returncode == 0, done.stderr
    fonts = part / "fonts" / "fonts.conf"
    fonts.write_text(fonts.read_text().replace("/tmp/fonts", str(UNPACKED / "fonts")))
    shutil.copy(FOLDER / "chromium.sh", part)
    part.rename(UNPACKED)


def _from_debian() -> str | None:
    if os.geteuid() != 0 or not shutil.which("apt-get"):
        return None
    install = ["apt-get", "install", "-y", "--no-install-recommends", "chromium"]
    for command in (["apt-get", "update"], install):
        quietly = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
        subprocess.run(command, env=quietly, stdout=subprocess.DEVNULL, check=False)
    return _on_path()
