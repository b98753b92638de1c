"""A stand-in for the official base image, made of Debian's packages where no registry is in reach.

It has Debian 12 and its Python 3.11 at the official image's paths: what is built on it shows what
the Dockerfile does, and isn't to be published.
"""

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from builder.image.__main__ import official_base
from builder.image.engines import Engine

TAG = "localhost/flux-worker-base"
PACKAGES = "ca-certificates,python3-dev,python3.11-venv"
CERTIFICATES = Path("/usr/local/share/ca-certificates")
"""Those that this machine trusts besides the usual ones."""
IN_THE_ROOT = (
    ["update-ca-certificates"],
    # Python, pip and the packages are then where the official image has them.
    ["python3", "-m", "venv", "/usr/local"],
    ["apt-get", "clean"],
    ["rm", "-r", "/var/lib/apt/lists"],
)


def reachable(engine: Engine) -> str:
    """The official one where it is here or can be fetched, else the stand-in."""
    official = official_base()
    return official if engine.has(official) or engine.pull(official) else stand_in(engine)


def stand_in(engine: Engine) -> str:
    """Return the stand-in's name, after making it if need be."""
    if engine.has(TAG):
        return TAG
    if os.geteuid() != 0 or not shutil.which("debootstrap"):
        sys.exit(
            "The base image can't be fetched, and making one needs root and debootstrap: check the "
            "network, or set BASE_IMAGE to an image that is here."
        )
    with tempfile.TemporaryDirectory() as folder:
        root, context = Path(folder, "root"), Path(folder, "context")
        context.mkdir()
        _fill(root)
        subprocess.run(["tar", "-C", root, "-cf", context / "root.tar", "."], check=True)
        (context / "Dockerfile").write_text("FROM scratch\nADD root.tar /\n")
        engine.build(context, TAG, {})
    return TAG


def _fill(root: Path) -> None:
    """Install Debian and Python into a folder."""
    options = ["--variant=minbase", f"--include={PACKAGES}"]
    subprocess.run(["debootstrap", *options, "bookworm", str(root)], check=True)
    for each in CERTIFICATES.glob("*.crt"):
        shutil.copy(each, root / CERTIFICATES.relative_to("/"))
    for command in IN_THE_ROOT:
        subprocess.run(["chroot", root, *command], check=True, stdout=subprocess.DEVNULL)
