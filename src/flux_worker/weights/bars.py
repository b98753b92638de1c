"""How far a download is, for a log that nobody sees as a terminal."""

import logging
import time
from io import StringIO
from typing import Any

from tqdm import tqdm

log = logging.getLogger(__name__)

SECONDS_BETWEEN_LINES = 5.0


class Quiet(tqdm):  # type: ignore[misc]
    """A progress bar that says nothing."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **{**kwargs, "file": StringIO()})

    def display(self, *_: Any, **__: Any) -> bool:
        """Say nothing."""
        return True


def logged(total: int) -> type[Quiet]:
    """Make a class of bars that together say now and then how much of so many bytes has come.

    The library has a bar for bytes that were sent, one for those on the disk and one for files,
    and its own totals grow with each file that begins.
    """
    most, next_line = 0, float("-inf")

    class Logged(Quiet):
        def display(self, *_: Any, **__: Any) -> bool:
            nonlocal most, next_line
            now = time.monotonic()
            if self.unit == "B" and self.n > most and now >= next_line:
                most, next_line = self.n, now + SECONDS_BETWEEN_LINES
                log.info("Downloaded %.2f of %.2f GB.", most / 1e9, total / 1e9)
            return True

    return Logged
