"""Pins every package: installs the sets of pyproject.toml into an empty environment, writes down
what came. Run it with `make lock` after changing a version there.

torch's CUDA packages are left out of the runtime's set, and so is the build tag of torch's version:
the same file serves CPU and GPU. Torch requires exact versions of most of them; the `gpu` set pins
the rest.

A dependency group has an environment of its own, with the runtime's version of whatever both have
and the group doesn't name itself.
"""

import re
import subprocess
import tempfile
import tomllib
import venv
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
CUDA = re.compile(r"(triton|nvidia-.+|cuda-.+)==")


def main() -> None:
    """Write requirements/runtime.txt, and a file for each further set or group."""
    document = tomllib.loads((ROOT / "pyproject.toml").read_text())
    runtime = lock_project(document["project"])
    for name, needs in document["dependency-groups"].items():
        lock_group(name, needs, runtime)


def lock_project(project: dict[str, Any]) -> list[str]:
    """Write the runtime's set, and what each optional one adds to it; return the runtime's."""
    with _empty_environment() as pip:
        # torch first and alone: the version that is then there satisfies all the others.
        torch = [need for need in project["dependencies"] if need.startswith("torch==")]
        subprocess.run([*pip, "install", "-q", *torch], check=True)
        subprocess.run([*pip, "install", "-q", *project["dependencies"]], check=True)
        runtime = _installed(pip)
        _write("runtime", [line for line in runtime if not CUDA.match(line)])
        for name, needs in project["optional-dependencies"].items():
            subprocess.run([*pip, "install", "-q", *needs], check=True)
            added = set(_installed(pip)) - set(runtime)
            _write(name, ["-r runtime.txt", *sorted(added | set(needs), key=str.lower)])
            if added:
                names = [line.partition("==")[0] for line in added]
                subprocess.run([*pip, "uninstall", "-q", "-y", *names], check=True)
    return runtime


def lock_group(name: str, needs: list[str], runtime: list[str]) -> None:
    """Write a group's set."""
    own = {need.partition("==")[0] for need in needs}
    shared = [line for line in runtime if line.partition("==")[0] not in own]
    with _empty_environment() as pip, tempfile.NamedTemporaryFile("w") as constraints:
        constraints.write("\n".join(shared))
        constraints.flush()
        subprocess.run([*pip, "install", "-q", "-c", constraints.name, *needs], check=True)
        _write(name, _installed(pip))


@contextmanager
def _empty_environment() -> Iterator[list[str]]:
    """The command that is its pip."""
    with tempfile.TemporaryDirectory() as folder:
        venv.create(folder, with_pip=True)
        yield [f"{folder}/bin/python", "-I", "-m", "pip"]


def _installed(pip: list[str]) -> list[str]:
    frozen = subprocess.run([*pip, "freeze"], check=True, capture_output=True, text=True).stdout
    return [line.partition("+")[0] for line in frozen.splitlines()]


def _write(name: str, lines: list[str]) -> None:
    header = "# Written by `make lock` from pyproject.toml."
    (ROOT / "requirements" / f"{name}.txt").write_text("\n".join([header, *lines]) + "\n")


if __name__ == "__main__":
    main()
