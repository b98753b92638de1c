"""A cold start, stage by stage: a log line for each with its seconds, and one that sums up."""

import logging
import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from flux_worker.errors import CannotStart
from flux_worker.telemetry.exporter import Exporter
from flux_worker.telemetry.spans import Span

log = logging.getLogger(__name__)

STARTED = 22
"""Which field of /proc/self/stat is when the process began, in ticks since the machine did:
https://man7.org/linux/man-pages/man5/proc_pid_stat.5.html."""


class Start:
    """Times stages that follow each other: one begins where the one before ended.

    So they add up to the whole, and nothing that takes time is in none of them.
    """

    def __init__(self, exporter: Exporter | None = None, age: float | None = None) -> None:
        """Begin now, or with a stage `image` that took so many seconds, and tell how it ended."""
        self._exporter = exporter
        # The clock may be set while the worker starts, so it is read once.
        self._epoch = time.time() - time.monotonic()
        self._begin = self._at = time.monotonic() - (age or 0.0)
        self._stages: list[Span] = []
        self._logged = 0
        self._ended = False
        if age is not None:
            self._note("image", {})

    @classmethod
    def of_this_process(cls, exporter: Exporter | None) -> Self:
        """Begin where the process did; until now its image's files were read, and Python begun.

        Where the system doesn't say when that was, begin now, without that stage.
        """
        return cls(exporter, _age())

    def __enter__(self) -> Self:
        return self

    def __exit__(self, _: object, error: BaseException | None, __: TracebackType | None) -> None:
        """What ends the block before the first job could be taken has failed the start.

        The process ends with status 1 and a sentence where one says what to do.
        """
        if isinstance(error, Exception):
            self._fail("ready", error)
        if isinstance(error, CannotStart):
            sys.exit(f"The worker can't start. {error}")

    @contextmanager
    def stage(self, name: str) -> Iterator[dict[str, Any]]:
        """Run a stage, and log its line; also where it fails.

        Yields:
            What the line will say beside the seconds, for the block to add to. `gigabytes` are
            given their rate.
        """
        fields: dict[str, Any] = {}
        try:
            yield fields
        except Exception as error:
            self._fail(name, error)
            raise
        self._note(name, fields)
        self._log()

    def ready(self) -> None:
        """Note that the first job can be taken, and sum up."""
        self._note("ready", {})
        self._log()
        seconds: dict[str, float] = {}
        for stage in self._stages:
            seconds[stage.name] = round(seconds.get(stage.name, 0.0) + stage.seconds, 4)
        seconds["total"] = round(self._at - self._begin, 4)
        log.info("start-up", extra={"fields": {"seconds": seconds}})
        self._end()

    def _note(self, name: str, fields: dict[str, Any]) -> None:
        now = time.monotonic()
        seconds = now - self._at
        if "gigabytes" in fields:
            fields["gigabytes_per_second"] = round(fields["gigabytes"] / max(seconds, 1e-6), 3)
        self._stages.append(Span(name, self._epoch + self._at, seconds, fields))
        self._at = now

    def _log(self) -> None:
        """Log what has no line yet: the first stages end before there is a log."""
        for stage in self._stages[self._logged :]:
            fields = {"stage": stage.name, "seconds": round(stage.seconds, 4), **stage.attributes}
            log.info("start-up stage", extra={"fields": fields})
        self._logged = len(self._stages)

    def _fail(self, name: str, error: Exception) -> None:
        if self._ended:
            return
        kind = type(error).__name__
        self._note(name, {})
        failed = self._stages.pop()
        self._log()
        self._stages.append(replace(failed, failure=kind))
        log.error(
            "start-up failed in %s after %.1f s",
            *(name, self._at - self._begin),
            extra={
                "fields": {
                    "stage": name,
                    "seconds": round(failed.seconds, 4),
                    "total": round(self._at - self._begin, 4),
                    "failure": kind,
                }
            },
        )
        self._end(kind)

    def _end(self, failure: str | None = None) -> None:
        self._ended = True
        if self._exporter:
            begin, seconds = self._epoch + self._begin, self._at - self._begin
            stages = tuple(self._stages)
            self._exporter.tell(Span("start-up", begin, seconds, {}, stages, failure))
            if failure:
                # Now, since the SDK ends the process at once where one of its checks fails.
                self._exporter.close()


def _age() -> float | None:
    """Return for how many seconds this process has run, to a hundredth; None where nobody knows."""
    try:
        # The second field is a name in brackets, which may hold anything.
        fields = Path("/proc/self/stat").read_text().rpartition(")")[2].split()
        began = int(fields[STARTED - 3]) / os.sysconf("SC_CLK_TCK")
        age = time.clock_gettime(time.CLOCK_BOOTTIME) - began
    except (OSError, ValueError, IndexError, AttributeError):
        return None
    return max(0.0, age)
