"""Pins every package: installs the sets of pyproject.toml into an empty environment, writes down
what came. Run it with `make lock` after changing a version there.

torch's CUDA packages are left out of the runtime's set, and so is the build tag of torch's version:
the same file serves CPU and GPU. The image's own files have them, and the hash of every wheel:
torch with its CUDA packages in one, since they are most of the bytes and change rarely, and in
another the rest. Torch requires exact versions of most of them; the `gpu` set pins the others.

A dependency group has an environment of its own, with the runtime's version of whatever both have
and the group doesn't name itself.
"""

import json
import os
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
IMAGE_ONLY = "gpu"


def main() -> None:
    """Write requirements/runtime.txt, and a file for each further set or group."""
    document = tomllib.loads((ROOT / "pyproject.toml").read_text())
    runtime = lock_project(document["project"])
    lock_image(document["project"], runtime)
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
            if name == IMAGE_ONLY:
                continue
            subprocess.run([*pip, "install", "-q", *needs], check=True)
            added = set(_installed(pip)) - set(runtime)
            _write(name, ["-r runtime.txt", *sorted(added | set(needs), key=str.lower)])
            if added:
                names = [line.partition("==")[0] for line in added]
                subprocess.run([*pip, "uninstall", "-q", "-y", *names], check=True)
    return runtime


def lock_image(project: dict[str, Any], runtime: list[str]) -> None:
    """Write what the image installs, with the hashes of the index's wheels for Linux on x86-64."""
    needs = [*project["dependencies"], *project["optional-dependencies"][IMAGE_ONLY]]
    wheels = _hashed(needs, runtime)
    is_torch = [CUDA.match(line) or line.startswith("torch==") for line in wheels]
    both = list(zip(wheels, is_torch, strict=True))
    _write("image-torch", [line for line, torch in both if torch])
    _write("image", [line for line, torch in both if not torch])
    downloading = [need for need in needs if need.startswith("huggingface-hub==")]
    _write("image-bake", _hashed(downloading, runtime))


def _hashed(needs: list[str], runtime: list[str]) -> list[str]:
    """What an installation would fetch from the index, each with its hash."""
    # Without the settings of this machine, which may prefer another build of torch.
    index_only = {k: v for k, v in os.environ.items() if k != "PIP_FIND_LINKS"}
    index_only["PIP_CONFIG_FILE"] = os.devnull
    options = ["--dry-run", "--ignore-installed", "--only-binary=:all:", "--report=-"]
    with _empty_environment() as pip, tempfile.NamedTemporaryFile("w") as constraints:
        constraints.write("\n".join(runtime))
        constraints.flush()
        done = subprocess.run(
            [*pip, "install", "-q", *options, "-c", constraints.name, *needs],
            check=True,
            capture_output=True,
            env=index_only,
        )
    found = [
        (each["metadata"], each["download_info"]["archive_info"]["hashes"]["sha256"])
        for each in json.loads(done.stdout)["install"]
    ]
    lines = [f"{it['name']}=={it['version']} --hash=sha256:{digest}" for it, digest in found]
    return sorted(lines, key=str.lower)


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
