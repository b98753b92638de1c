"""Keeps fetched files on a disk that other workers may share.

    files/<SHA-256 of the content>.safetensors, or another extension
    index/<SHA-256 of the source>.json           the content that a source had, and its ETag
    parts/                                       what is being fetched

The time of change of a file, and of an entry of the index, is that of its last use. A file comes
to its place whole, by a rename. Whoever reads one compares its content with its name.
"""

import hashlib
import json
import logging
import os
import re
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from flux_worker.downloads.kinds import Kind

log = logging.getLogger(__name__)

MOST_SOURCES = 4096
"""Entries of the index: signed URLs differ each time."""
ABANDONED = 3600.0
"""Seconds after which a part that doesn't grow belongs to a worker that is gone."""
DIGEST = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True)
class Entry:
    """What a source held when it was asked last."""

    digest: str
    """SHA-256 of the content, in hexadecimal."""
    etag: str | None
    """By which the origin tells whether that has changed."""


class Cache:
    """Files by their content, the least recently used of which go first."""

    def __init__(self, kind: Kind, folder: Path, limit: int) -> None:
        """Touch nothing yet.

        Args:
            kind: of the files.
            folder: is created when something is kept.
            limit: bytes of the files together; a single larger one is kept until the next comes.
        """
        self._files, self._index, self._parts = (
            folder / name for name in ("files", "index", "parts")
        )
        self._kind, self._limit = kind, limit
        self._held: list[set[str]] = []

    def find(self, source: str) -> Entry | None:
        """Return what a source held, if that is known; the file itself may be gone."""
        try:
            found = json.loads(_used(self._entry(source)).read_bytes())
            entry = Entry(str(found["digest"]), found["etag"] and str(found["etag"]))
        except (OSError, ValueError, TypeError, KeyError, RecursionError):
            return None
        return entry if DIGEST.fullmatch(entry.digest) else None

    def file(self, digest: str) -> Path:
        """Return where a content is, used now, or would be."""
        return _used(self._files / f"{digest}{self._kind.extension}")

    @contextmanager
    def holding(self) -> Iterator[set[str]]:
        """Give a set whose contents this worker doesn't remove, for the length of the block."""
        held = set[str]()
        self._held.append(held)
        try:
            yield held
        finally:
            # Not `remove`, which takes the first that is equal.
            self._held = [each for each in self._held if each is not held]

    def new_part(self) -> Path:
        """Return a path for what is being fetched; nobody else has it."""
        return self._parts / uuid.uuid4().hex

    def keep(self, part: Path, digest: str) -> None:
        """Put a fetched file in its place, and make room for it.

        Raises:
            Unavailable: the folder can't be written to.
        """
        try:
            self._files.mkdir(parents=True, exist_ok=True)
            os.replace(part, self.file(digest))
        except OSError as error:
            raise self._kind.not_kept(error) from None
        self._trim({digest}.union(*self._held))

    def note(self, source: str, entry: Entry) -> None:
        """Remember what a source holds.

        Raises:
            Unavailable: the folder can't be written to.
        """
        path, draft = self._entry(source), self.new_part()
        try:
            for folder in (self._index, self._parts):
                folder.mkdir(parents=True, exist_ok=True)
            draft.write_text(json.dumps(asdict(entry)))
            os.replace(draft, path)
        except OSError as error:
            raise self._kind.not_kept(error) from None

    def drop(self, digest: str) -> None:
        """Remove a file that isn't what its name says."""
        log.warning(self._kind.damaged)
        with suppress(OSError):
            (self._files / f"{digest}{self._kind.extension}").unlink()

    def _entry(self, source: str) -> Path:
        # The name tells nothing of a URL that may hold a key.
        return self._index / f"{hashlib.sha256(source.encode()).hexdigest()}.json"

    def _trim(self, held: set[str]) -> None:
        """Remove what is too much, oldest first, but nothing that is held."""
        files = _by_age(self._files)
        total = sum(size for _, size, _ in files)
        for _, size, path in files:
            if total <= self._limit:
                break
            if path.stem not in held:
                total -= size
                _remove(path)
        for _, _, path in _by_age(self._index)[:-MOST_SOURCES]:
            _remove(path)
        for changed, _, path in _by_age(self._parts):
            if time.time() - changed > ABANDONED:
                _remove(path)


def _by_age(folder: Path) -> list[tuple[float, int, Path]]:
    """Return time of change, bytes and path of a folder's files, the oldest first."""
    found = []
    with suppress(OSError):
        for each in os.scandir(folder):
            with suppress(OSError):  # another worker removes files, too
                status = each.stat(follow_symlinks=False)
                found.append((status.st_mtime, status.st_size, Path(each.path)))
    return sorted(found)


def _used(path: Path) -> Path:
    with suppress(OSError):
        os.utime(path)
    return path


def _remove(path: Path) -> None:
    with suppress(OSError):
        path.unlink()
