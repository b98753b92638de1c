"""Log lines in JSON, without prompts, secrets or signatures."""

import json
import logging
import os
import sys
import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

LEVELS = {"NOTSET": logging.CRITICAL + 1, "TRACE": 5, "WARN": logging.WARNING}
"""Names of the SDK that Python's logging doesn't share; its NOTSET switches logging off."""


class JsonLines(logging.Formatter):
    """One JSON object a line: time, level, message, and the record's own fields."""

    def format(self, record: logging.LogRecord) -> str:
        """Write the record as one line."""
        line: dict[str, Any] = {
            "time": self.formatTime(record),
            "level": record.levelname,
            "message": record.getMessage(),
            **getattr(record, "fields", {}),
        }
        if record.exc_info and record.exc_info[0]:
            # The kind and the place, but not the message, which may repeat what was asked for.
            line["failure"] = record.exc_info[0].__name__
            line["at"] = traceback.format_tb(record.exc_info[2])
        return json.dumps(line)


def configure(level: str) -> None:
    """Route our lines to stderr, and keep the SDK and the libraries from printing prompts.

    To be called before runpod, diffusers and transformers are imported: they read their log levels
    then, and runpod sets logging up itself where nobody has.

    Args:
        level: a value of RUNPOD_LOG_LEVEL.
    """
    os.environ["RUNPOD_LOG_LEVEL"] = level  # the SDK's default is DEBUG, which prints answers
    # Their warnings quote the part of a prompt that was cut off.
    os.environ["DIFFUSERS_VERBOSITY"] = os.environ["TRANSFORMERS_VERBOSITY"] = "error"
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonLines())
    logging.basicConfig(handlers=[handler], level=logging.WARNING)
    # They warn of kernels for other cards, of each other, and of a missing card, at every start.
    logging.captureWarnings(True)
    for library in ("py.warnings", "torchao", "torch.utils._pytree", "torch.utils.cpp_extension"):
        logging.getLogger(library).setLevel(logging.ERROR)
    logging.getLogger("flux_worker").setLevel(LEVELS.get(level, level))


@contextmanager
def timed(seconds: dict[str, float], stage: str) -> Iterator[None]:
    """Note how many seconds the block took, for a job's line; also where it fails."""
    begin = time.perf_counter()
    try:
        yield
    finally:
        seconds[stage] = time.perf_counter() - begin
