"""Log lines: JSON, without what an exception repeats; and levels."""

import json
import subprocess
import sys

import pytest

from flux_worker.logs import timed

PROGRAM = """
import logging, os, sys, warnings
from flux_worker import logs
logs.configure(sys.argv[1])
log = logging.getLogger("flux_worker.x")
log.log(5, "trace")
log.debug("debug")
log.info("hello %s", "there", extra={"fields": {"job": "j"}})
log.warning("warning")
log.error("error")
logging.getLogger("torchao").warning("of another card")
warnings.warn("of a library, about itself")
logging.getLogger("somebody").warning("else")
try:
    raise ValueError("secret")
except ValueError:
    log.exception("failed")
print(os.environ["RUNPOD_LOG_LEVEL"], os.environ["DIFFUSERS_VERBOSITY"],
      os.environ["TRANSFORMERS_VERBOSITY"])
"""


def lines(level):
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, level], capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == [level, "error", "error"]
    return [json.loads(line) for line in done.stderr.splitlines()]


@pytest.mark.parametrize(
    ("level", "ours"),
    [
        ("TRACE", ["trace", "debug", "hello there", "warning", "error", "failed"]),
        ("DEBUG", ["debug", "hello there", "warning", "error", "failed"]),
        ("INFO", ["hello there", "warning", "error", "failed"]),
        ("WARN", ["warning", "error", "failed"]),
        ("ERROR", ["error", "failed"]),
        ("NOTSET", []),
    ],
)
def test_levels(level, ours):
    written = [line["message"] for line in lines(level)]
    assert [message for message in written if message != "else"] == ours
    assert "else" in written


def test_a_line_has_its_fields_and_a_failure_its_kind_and_place_but_no_words():
    written = {line["message"]: line for line in lines("INFO")}
    assert written["hello there"].items() >= {"job": "j", "level": "INFO"}.items()
    failed = written["failed"]
    assert failed["failure"] == "ValueError"
    assert "<module>" in failed["at"][0]
    assert "secret" not in json.dumps(failed)


def test_a_stage_that_fails_is_timed_too():
    seconds = {}
    with pytest.raises(ValueError, match="x"), timed(seconds, "stage"):
        raise ValueError("x")
    assert seconds["stage"] >= 0
