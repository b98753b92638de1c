"""Reads weights into the system's page cache, in parallel, before they are asked for.

Needs none of the large libraries itself, so that it can run while these are imported: that takes
seconds, in which the disk would be idle.
"""

import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from queue import Empty, SimpleQueue
from threading import Event

from flux_worker.weights.layout import LARGE, Unusable, weight_files

CGROUP_LIMITS = (
    Path("/sys/fs/cgroup/memory.max"),
    Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"),
)
THREADS = 8
PIECE = 16 * 2**20
"""Bytes that a thread reads at once."""


@contextmanager
def reading(folder: Path | None, to_the_end: bool = False) -> Iterator[None]:
    """Read a checkpoint's large files while the block runs, up to half of the memory there is.

    Args:
        folder: in diffusers' layout; None reads nothing.
        to_the_end: whether the end of the block waits for what isn't read yet, or leaves it.
    """
    stop = Event()
    pieces: SimpleQueue[tuple[Path, int]] = SimpleQueue()
    for piece in _pieces(folder) if folder else ():
        pieces.put(piece)
    with ThreadPoolExecutor(THREADS, thread_name_prefix="prefetch") as pool:
        for _ in range(min(THREADS, pieces.qsize())):
            pool.submit(_read, pieces, stop)
        try:
            yield
        finally:
            if not to_the_end:
                stop.set()


def _pieces(folder: Path) -> Iterator[tuple[Path, int]]:
    room = memory() // 2
    for component in LARGE:
        for file, size in _sizes(folder, component):
            for begin in range(0, min(size, room), PIECE):
                yield file, begin
            room -= min(size, room)


def _sizes(folder: Path, component: str) -> Iterator[tuple[Path, int]]:
    try:
        for file in weight_files(folder, component):
            yield file, file.stat().st_size
    except (Unusable, OSError):  # whoever loads them says what is wrong
        return


def memory() -> int:
    """Bytes that this container may use, or that the machine has."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    for limit in CGROUP_LIMITS:
        try:
            memory = min(memory, int(limit.read_text()))
        except (OSError, ValueError):  # not there, or "max"
            continue
    return memory


def _read(pieces: SimpleQueue[tuple[Path, int]], stop: Event) -> None:
    buffer = bytearray(PIECE)
    while not stop.is_set():
        try:
            file, begin = pieces.get_nowait()
        except Empty:
            return
        with file.open("rb", buffering=0) as opened:
            if not _is_cached(opened.fileno(), begin):
                os.preadv(opened.fileno(), [buffer], begin)


def _is_cached(file: int, begin: int) -> bool:
    """Whether a piece's two ends are in memory already, and so, in all likelihood, all of it."""
    try:
        for place in (begin, begin + PIECE - 1):
            os.preadv(file, [bytearray(1)], place, os.RWF_NOWAIT)
    except OSError:  # it would have to wait, or the file system can't tell
        return False
    return True
