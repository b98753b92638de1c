"""What is told of a start and of a job: names, times and plain figures, made from their log lines.

No text of a request is in them, and no URL, for their lines have none; at most a host's name.
"""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

Value = str | bool | int | float
"""What an attribute can be."""

OF_A_JOB = (
    *("job", "status", "task", "width", "height", "steps", "seed", "format", "bytes", "loras"),
    *("dropped_tokens", "failure"),
)
"""What of a job's line its span says."""
NO_STAGES = ("per_step", "total")
"""Seconds in a job's line that are of no stage of their own."""


@dataclass(frozen=True)
class Span:
    """Something that took time, and what was done in it, in that order."""

    name: str
    begin: float
    """Seconds since the epoch."""
    seconds: float
    attributes: Mapping[str, Value]
    children: tuple["Span", ...] = ()
    failure: str | None = None
    """Its kind, where it failed."""


Tell = Callable[[Span], None]
"""Takes what has ended, and returns at once."""


def of_a_job(record: Mapping[str, Any], model: str) -> Span:
    """Make the span of a job that ends now.

    Its stages are laid end to end, as they run: only the end of the decoding and the begin of the
    encoding are a turn of the event loop apart.

    Args:
        record: the fields of its log line.
        model: the served one's name.
    """
    seconds: dict[str, float] = record["seconds"]
    begin = at = time.time() - seconds["total"]
    stages = []
    for stage, taken in seconds.items():
        if stage not in NO_STAGES:
            stages.append(Span(stage, at, taken, {}))
            at += taken
    attributes = {name: record[name] for name in OF_A_JOB if name in record}
    failure = record["failure"] if record["status"] == "failed" else None
    return Span(
        "job", begin, seconds["total"], {**attributes, "model": model}, tuple(stages), failure
    )
