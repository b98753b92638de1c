"""Whether the folders can be written to without which the libraries can't even be imported."""

import os
import tempfile
from pathlib import Path

from flux_worker.errors import CannotStart

CACHES = ("TORCHINDUCTOR_CACHE_DIR", "TRITON_CACHE_DIR")
"""What compiled kernels are kept in, where these variables are set."""


def require() -> None:
    """Make sure of it, and make the caches' folders.

    Raises:
        CannotStart: one can't be written to, as in a container with a read-only root.
    """
    try:
        tempfile.gettempdir()
    except FileNotFoundError:
        raise CannotStart(
            "There is no temporary folder that can be written to: with a read-only root mount a "
            "tmpfs at /tmp."
        ) from None
    for name in CACHES:
        if folder := os.environ.get(name):
            _require(name, Path(folder))


def _require(name: str, folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise CannotStart(
            f"{name} is {folder}, which can't be written to ({error.strerror}): with a read-only "
            f"root mount a tmpfs at {folder.parent}, or name a folder that can be."
        ) from None
