"""The stages of a start follow each other, add up, and have a line each; also where one fails."""

import json
import subprocess
import sys
import time

import pytest

from flux_worker.errors import CannotStart
from flux_worker.telemetry import start as module
from flux_worker.telemetry.start import Start

LATE = """
import time, json
time.sleep(0.5)
from flux_worker.telemetry.start import Start
start = Start.of_this_process(None)
print(json.dumps(start._stages[0].seconds))
"""


@pytest.fixture(autouse=True)
def _logged(caplog):
    caplog.set_level("INFO", "flux_worker")


@pytest.fixture
def lines(caplog):
    return lambda: [{"message": each.message, **each.fields} for each in caplog.records]


class Told:
    """What an exporter is told."""

    def __init__(self):
        self.spans = []
        self.closed = False

    def tell(self, span):
        self.spans.append(span)

    def close(self):
        self.closed = True


def work(start):
    with start.stage("weights") as said:
        time.sleep(0.02)
        said["gigabytes"] = 34
    time.sleep(0.02)  # what is between two stages is the next one's
    for size in ("256x256", "512x512"):
        with start.stage("warm-up") as said:
            said["size"] = size


def test_each_stage_has_a_line_and_the_last_one_sums_up(lines):
    start = Start()
    work(start)
    start.ready()
    *stages, whole = lines()
    assert [(line["message"], line["stage"]) for line in stages] == [
        ("start-up stage", name) for name in ("weights", "warm-up", "warm-up", "ready")
    ]
    assert [line.get("size") for line in stages] == [None, "256x256", "512x512", None]
    assert stages[0]["gigabytes_per_second"] == pytest.approx(34 / stages[0]["seconds"], rel=0.01)
    assert whole["message"] == "start-up"
    assert list(whole["seconds"]) == ["weights", "warm-up", "ready", "total"]
    *parts, total = whole["seconds"].values()
    assert sum(parts) == pytest.approx(total, abs=0.001)


def test_one_stage_begins_where_the_one_before_ended():
    told = Told()
    start = Start(told)
    work(start)
    start.ready()
    [span] = told.spans
    at = span.begin
    for stage in span.children:
        assert stage.begin == pytest.approx(at, abs=1e-5)
        at = stage.begin + stage.seconds
    assert at == pytest.approx(span.begin + span.seconds, abs=1e-5)
    assert (span.failure, told.closed) == (None, False)


def test_the_first_stage_is_from_the_processs_begin_on():
    done = subprocess.run([sys.executable, "-c", LATE], capture_output=True, check=True)
    assert 0.5 <= json.loads(done.stdout) < 30


def test_where_the_processs_begin_is_unknown_there_is_no_such_stage(monkeypatch, lines):
    monkeypatch.setattr(module, "_age", lambda: None)
    start = Start.of_this_process(None)
    start.ready()
    assert [line.get("stage") for line in lines()] == ["ready", None]


@pytest.mark.parametrize("content", ["", "1 (python) S", "no stat"])
def test_a_system_that_says_it_otherwise_says_nothing(monkeypatch, tmp_path, content):
    (tmp_path / "stat").write_text(content)
    monkeypatch.setattr(module, "Path", lambda _: tmp_path / "stat")
    assert module._age() is None


def test_a_start_that_fails_says_in_which_stage_and_when(lines):
    told = Told()
    start = Start(told)
    work(start)
    with pytest.raises(ValueError, match="x"), start, start.stage("device"):
        raise ValueError("x: a secret")
    failed = lines()[-1]
    assert failed["message"].startswith("start-up failed in device after 0.")
    assert failed["stage"] == "device"
    assert failed["failure"] == "ValueError"
    assert 0 <= failed["seconds"] <= failed["total"]
    assert "secret" not in str(lines())
    [span] = told.spans
    assert span.failure == span.children[-1].failure == "ValueError"
    assert [each.failure for each in span.children[:-1]] == [None] * 3
    assert told.closed, "the SDK may end the process at once"


def test_what_can_be_mended_ends_the_process_in_a_sentence(lines):
    with pytest.raises(SystemExit) as end, Start(), Start().stage("imports"):
        raise CannotStart("Set X.")
    assert end.value.code == "The worker can't start. Set X."


def test_what_fails_between_two_stages_fails_the_start_too(lines):
    start = Start()
    work(start)
    with pytest.raises(OSError, match="full"), start:
        raise OSError("full")
    assert lines()[-1]["stage"] == "ready"


def test_what_fails_when_it_is_ready_is_no_failed_start(lines):
    start = Start()
    start.ready()
    with pytest.raises(OSError, match="full"), start:
        raise OSError("full")
    assert lines()[-1]["message"] == "start-up"
