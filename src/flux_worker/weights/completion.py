"""Brings a checkpoint's large files: none that is here already, and all of them whole."""

import hashlib
import logging
import shutil
import time
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path

from flux_worker.errors import CannotStart
from flux_worker.weights import bars, lease
from flux_worker.weights.hub_errors import Advice
from flux_worker.weights.remote import Remote, RemoteFile

log = logging.getLogger(__name__)


def complete(
    remote: Remote, folder: Path, files: Iterable[RemoteFile], advice: Advice, *, is_plain: bool
) -> list[Path]:
    """Bring those of a commit's files that aren't in a folder yet; return their paths.

    To be called by one worker at a time.

    Args:
        remote: where they come from.
        folder: a snapshot in a cache, or a plain one, called by its commit.
        files: as the repository lists them at that commit.
        advice: for the sentences.
        is_plain: whether the folder is outside of the library's cache.

    Raises:
        CannotStart: the disk is too small for them, or a file isn't the one that the Hub lists.
    """
    missing = [file for file in files if not _is_whole(folder, file)]
    for path in (*_leftovers(folder), *_damaged(folder, missing)):
        path.unlink(missing_ok=True)
    total = sum(file.size for file in missing)
    _require_room(folder, total, remote.repository, advice)
    if missing:
        begin = time.monotonic()
        into = folder if is_plain else None
        remote.fetch_large(folder.name, missing, into, bars.logged(total))
        seconds = time.monotonic() - begin
        log.info("Downloaded %.2f GB in %.0f s.", total / 1e9, seconds)
    for file in missing:
        _require_same(folder, file, remote.repository)
    return [folder / file.name for file in missing]


def _is_whole(folder: Path, file: RemoteFile) -> bool:
    try:
        return (folder / file.name).stat().st_size == file.size
    except OSError:  # not there, or a link that leads nowhere
        return False


def _leftovers(folder: Path) -> Iterator[Path]:
    """Name what killed downloads have left in the cache: it is as large, and of no use."""
    with suppress(OSError):
        for part in (folder.parents[1] / "blobs").glob("*.incomplete"):
            if time.time() - part.stat().st_mtime > lease.DEAD_AFTER:
                yield part


def _damaged(folder: Path, files: Iterable[RemoteFile]) -> Iterator[Path]:
    """Name files of another size, and what they are links to: the library would keep them."""
    for file in files:
        path = folder / file.name
        if path.is_file():
            log.warning("%s has not the size that the Hub lists: it is downloaded again.", path)
            yield from _with_content(folder, path)


def _with_content(folder: Path, path: Path) -> Iterator[Path]:
    """Name a file and, if it is a link, its content in the cache, but none outside: not ours."""
    if path.is_symlink():
        content = path.parent / path.readlink()
        if content.parent.resolve() == (folder.parents[1] / "blobs").resolve():
            yield content
    yield path


def _require_room(folder: Path, needed: int, repository: str, advice: Advice) -> None:
    free = shutil.disk_usage(folder).free
    if needed > free:
        raise CannotStart(
            f"{repository} needs {needed / 1e9:.1f} GB more in {folder}, and the disk has "
            f"{free / 1e9:.1f} GB free: {advice.more_room}."
        )


def _require_same(folder: Path, file: RemoteFile, repository: str) -> None:
    path = folder / file.name
    if not _is_whole(folder, file) or (file.sha256 and _digest(path) != file.sha256):
        for each in tuple(_with_content(folder, path)):
            each.unlink(missing_ok=True)
        raise CannotStart(
            f"{file.name} of {repository} has come damaged, and was removed: start again; files "
            "that have come whole are kept."
        )


def _digest(path: Path) -> str:
    with path.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()
