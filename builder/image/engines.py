"""Docker, Podman or Buildah, whichever works on this machine."""

import os
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

PODMAN = ("podman", "runc", "debootstrap")
"""Debian's packages, with what makes a base image."""

Layer = tuple[int, str]
"""Bytes, and the instruction that made them."""


@dataclass(frozen=True)
class Engine:
    """One that builds images, and runs them where it is Docker or Podman."""

    name: str

    @property
    def program(self) -> list[str]:
        """How its commands begin."""
        # Debian's crun refuses the hybrid control groups that some hosts have.
        runtime = self.name == "podman" and shutil.which("runc")
        return [self.name, *(["--runtime", runtime] if runtime else [])]

    def build(self, context: Path, tag: str, arguments: Mapping[str, str], *more: str) -> None:
        """Build the Dockerfile of a folder.

        Args:
            context: the folder.
            tag: the image's name.
            arguments: values for the Dockerfile's `ARG`s.
            more: further options, such as `--target=weights`.
        """
        # Without a service of its own, an engine builds in a chroot where it may do nothing else.
        alone = [] if self.name == "docker" else ["--isolation=chroot", "--layers"]
        given = [f"--build-arg={name}={value}" for name, value in arguments.items()]
        subprocess.run(
            [self.name, "build", *alone, *given, *more, "--tag", tag, str(context)], check=True
        )

    def has(self, tag: str) -> bool:
        """Whether an image is on this machine."""
        inspect = ["inspect", "--type=image", tag]
        return _succeeds([self.name, *inspect])

    def pull(self, tag: str) -> bool:
        """Fetch an image from its registry; False where that can't be done."""
        return _succeeds([self.name, "pull", tag])

    def layers(self, tag: str) -> list[Layer]:
        """An image's layers, the base first; Buildah doesn't tell them."""
        if self.name == "buildah":
            return []
        shown = ["--no-trunc", "--human=false", "--format", "{{.Size}}\t{{.CreatedBy}}"]
        lines = self._output("history", *shown, tag).splitlines()
        pairs = [line.partition("\t") for line in reversed(lines)]
        return [(_bytes(size), made_by) for size, _, made_by in pairs]

    def digests(self, tag: str) -> list[str]:
        """What tells an image's layers from others, the base's first."""
        shown = self._output("inspect", "--type=image", "--format={{json .RootFS.Layers}}", tag)
        return shown.strip(' []"\n').split('","')

    def run(self, tag: str, *command: str, options: Sequence[str] = ()) -> list[str]:
        """The command line that runs a container in this machine's network, until it ends.

        SIGTERM to that process reaches the container's first one.
        """
        # The engines' own limits are more than what some hosts allow.
        limits = ["--ulimit=nofile=4096:4096", "--ulimit=nproc=4096:4096"]
        return [*self.program, "run", "--rm", "--network=host", *limits, *options, tag, *command]

    def _output(self, *command: str) -> str:
        done = subprocess.run([self.name, *command], check=True, capture_output=True, text=True)
        return done.stdout


def find(install: bool = False) -> Engine:
    """Return the first engine that answers; end the program with a sentence where none does.

    Args:
        install: whether to install Podman where there is none, as root on Debian.
    """
    for name in ("docker", "podman", "buildah"):
        if shutil.which(name) and _succeeds([name, "info"]):
            return Engine(name)
    if install and os.geteuid() == 0 and shutil.which("apt-get"):
        subprocess.run(["apt-get", "update", "-qq"], check=True)
        subprocess.run(["apt-get", "install", "-qq", "--yes", *PODMAN], check=True)
        return find()
    sys.exit(
        "No container engine answers here: start Docker, or install Podman or Buildah "
        "(on Debian: apt-get install podman runc)."
    )


def _succeeds(command: list[str]) -> bool:
    return subprocess.run(command, capture_output=True).returncode == 0


def _bytes(size: str) -> int:
    """Read a size as Docker writes it, in bytes, or Podman, in the unit that suits."""
    number, _, unit = size.partition(" ")
    powers = {"": 0, "B": 0, "KB": 1, "MB": 2, "GB": 3}
    return int(float(number) * 10.0 ** (3 * powers[unit.upper()]))
