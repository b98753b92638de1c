"""The files of the operator's folder. They are the operator's: a symlink may lead anywhere."""

import errno
import stat
from pathlib import Path

from flux_worker.adapters.lora_file import LORAS
from flux_worker.downloads.refusals import Refused, Unavailable

Signature = tuple[int, int, int, int]
"""Device, inode, bytes and time of change: while they stay, so does the content."""
NO_FILE = "names no file in the worker's LORA_DIR"


def signature(file: Path, largest: int) -> Signature:
    """Return what tells a file from a later one of the same name.

    Raises:
        Refused: there is none, or it has more than so many bytes.
        Unavailable: the folder can't be read now.
    """
    try:
        found = file.stat()
    except (OSError, ValueError) as error:  # the latter: of a name that no file can have
        raise refusal(error) from None
    if not stat.S_ISREG(found.st_mode):
        raise Refused(NO_FILE)
    if found.st_size > largest:
        raise LORAS.too_large(largest)
    return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns


def refusal(error: OSError | ValueError) -> Exception:
    """Return what is raised when a file can't be opened."""
    code = error.errno if isinstance(error, OSError) else None
    if code in (errno.EACCES, errno.EPERM):
        return Refused("names a file in the worker's LORA_DIR that the worker may not read")
    if code in (None, errno.ENOENT, errno.ENOTDIR, errno.ENAMETOOLONG, errno.ELOOP):
        return Refused(NO_FILE)
    return Unavailable("can't be read from LORA_DIR now; send the job again")
