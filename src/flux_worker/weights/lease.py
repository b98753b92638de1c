"""A lock on a folder that several machines share, for work that one of them should do.

Not every network file system has locks that other machines see, but all create a file for one
asker alone. So whoever makes the file `{name}.1` has the lease, writes into it every few seconds,
and removes it at the end. Who finds a file in which nothing has been written for a minute holds
its owner for dead, and may make the file with the next number: again only one can. The minute is
measured by whoever waits, so that clocks needn't agree.

Two may still work at once after an owner stood still for a minute, until it asks whether it has
lost the lease. So what they do must be right then, too, if done twice.
"""

import logging
import os
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from threading import Event, Thread

log = logging.getLogger(__name__)

BEAT = 5.0
"""Seconds between two signs of life."""
DEAD_AFTER = 60.0
"""Seconds without one. Network file systems may show a file for some seconds as it was."""
POLL = 1.0
LINE = 30.0
"""Seconds between two lines in the log of a worker that waits."""


@dataclass(frozen=True)
class Lease:
    """What its owner knows of it."""

    file: Path
    owner: bytes
    waited: bool
    """Whether another one had it before."""

    def is_lost(self) -> bool:
        """Whether this owner stood still for so long that it was held for dead."""
        try:
            return not self.file.read_bytes().startswith(self.owner)
        except FileNotFoundError:
            return True
        except OSError:
            return False


@contextmanager
def held(path: Path, work: str) -> Iterator[Lease]:
    """Have the lease for the length of the block.

    Args:
        path: the folder is created, and the name gets a number.
        work: what another one does while this one waits, as a clause for the log.

    Raises:
        OSError: the folder can't be written to.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    me = uuid.uuid4().hex.encode()
    mine = Lease(*_take(path, me, work))
    done = Event()
    beating = Thread(target=_beat, args=(mine, done), name="lease", daemon=True)
    beating.start()
    try:
        yield mine
    finally:
        done.set()
        beating.join()
        if not mine.is_lost():  # or it may be another one's, whose number began anew
            mine.file.unlink(missing_ok=True)


def _take(path: Path, me: bytes, work: str) -> tuple[Path, bytes, bool]:
    waited = False
    seen: tuple[Path, bytes] | None = None
    alive = line = time.monotonic()
    while True:
        now = time.monotonic()
        current = _current(path)
        if current and current != seen:
            seen, alive = current, now
        if not current or now - alive > DEAD_AFTER:
            last = _number(current[0]) if current else 0
            with suppress(FileExistsError):
                return _make(path.with_name(f"{path.name}.{last + 1}"), me, path), me, waited
        if not waited or now - line > LINE:
            log.info("Another worker %s: waiting for it.", work)
            waited, line = True, now
        time.sleep(POLL)


def _make(mine: Path, me: bytes, path: Path) -> Path:
    """Make the file, if nobody has, and remove those of the dead."""
    try:
        _write(mine, me, 0, os.O_CREAT | os.O_EXCL)
    except FileExistsError:
        raise
    except OSError:  # the disk is full: the next one would wait for a minute before it said so
        mine.unlink(missing_ok=True)
        raise
    for each in _all(path):
        if _number(each) < _number(mine):
            log.info("The worker that had %s before has ended without a word.", each)
            each.unlink(missing_ok=True)
    return mine


def _beat(mine: Lease, done: Event) -> None:
    count = 0
    while not done.wait(BEAT) and not mine.is_lost():
        count += 1
        with suppress(OSError):  # the disk is full
            _write(mine.file, mine.owner, count)


def _write(mine: Path, me: bytes, count: int, flags: int = 0) -> None:
    # Always as long, so that a full disk doesn't matter; closed, which network file systems show.
    file = os.open(mine, os.O_WRONLY | flags, 0o666)
    try:
        os.write(file, b"%s %012d\n" % (me, count))
    finally:
        os.close(file)


def _current(path: Path) -> tuple[Path, bytes] | None:
    """Return the newest file, and what its owner wrote into it."""
    for each in sorted(_all(path), key=_number, reverse=True):
        with suppress(OSError):
            return each, each.read_bytes()
    return None


def _all(path: Path) -> list[Path]:
    return [each for each in path.parent.glob(f"{path.name}.*") if each.suffix[1:].isdigit()]


def _number(path: Path) -> int:
    return int(path.suffix[1:])
