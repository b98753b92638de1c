"""The kinds of files that callers name: what tells one, and what is said of it."""

import errno
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from flux_worker.contract.loras import HubFile
from flux_worker.contract.urls import Url
from flux_worker.downloads.refusals import CIVITAI, Refused, Unavailable

FULL = (errno.ENOSPC, errno.EDQUOT)


@dataclass(frozen=True)
class Kind:
    """One kind of files, and its own part of each sentence."""

    name: str
    """Of one of them."""
    file: str
    """What its URL must give."""
    extension: str
    """Of the files in the cache."""
    hosts: str
    """The setting that says where they may come from."""
    takes_tokens: bool
    """Whether the operator's accounts are used for them."""
    meant: Callable[[Url | HubFile], Url | HubFile]
    """Returns the file that a source stands for; raises `Refused` where it is none."""
    least: int
    """Bytes of a file, below which it is `empty`."""
    require_beginning: Callable[[bytes, str], None]
    """Raises `Refused` for a file that begins so, at least with so many bytes, at this host."""
    require_whole: Callable[[Path], None]
    """Raises `Refused` for a file that isn't what it should be."""
    empty: str
    limit: str
    """What follows the most megabytes that it may have."""
    full: str
    unwritable: str
    gone: str
    damaged: str

    def too_large(self, largest: int) -> Refused:
        """Return what is raised for a file of more than so many bytes."""
        return Refused(f"has more than {largest // 10**6} MB, {self.limit}")

    def not_kept(self, error: OSError) -> Unavailable:
        """Return what is raised when the cache's folder takes nothing."""
        return Unavailable(self.full if error.errno in FULL else self.unwritable)

    def page(self, host: str) -> Refused:
        """Return what is raised for a web page in place of a file."""
        log_in = " that asks for an account" if host == CIVITAI and self.takes_tokens else ""
        return Refused(f"leads to a web page of {host}{log_in}, not to {self.file}")
