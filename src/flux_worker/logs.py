"""Log lines in JSON, without prompts, secrets or signatures."""

import json
import logging
import os
import sys
from typing import Any

LEVELS = {"NOTSET": logging.CRITICAL + 1, "TRACE": 5, "WARN": logging.WARNING}
"""Names of the SDK that Python's logging doesn't share; its NOTSET switches logging off."""

QUOTES_PROMPTS = ("diffusers", "transformers")
"""Libraries whose warnings repeat the text that they truncated."""


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
        return json.dumps(line, ensure_ascii=False)


def configure(level: str) -> None:
    """Route our lines to stderr, and keep the SDK and the libraries from printing prompts.

    Args:
        level: a value of RUNPOD_LOG_LEVEL.
    """
    os.environ["RUNPOD_LOG_LEVEL"] = level  # the SDK reads it on import and defaults to DEBUG
    import diffusers.utils.logging
    import runpod  # noqa: F401  calls logging.basicConfig, which ours must come after
    import transformers.utils.logging

    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonLines())
    logging.basicConfig(handlers=[handler], level=logging.WARNING, force=True)
    logging.getLogger("flux_worker").setLevel(LEVELS.get(level, level))
    for name in QUOTES_PROMPTS:
        logging.getLogger(name).setLevel(logging.ERROR)
    diffusers.utils.logging.disable_progress_bar()
    transformers.utils.logging.disable_progress_bar()
