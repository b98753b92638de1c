"""A job's span says what its log line says, but for texts."""

import time

import pytest

from flux_worker.telemetry import spans

LINE = {
    "job": "j",
    "status": "completed",
    "seconds": {"parse": 0.5, "denoising": 2.0, "per_step": 1.0, "upload": 0.25, "total": 3.0},
    "width": 256,
    "loras": 1,
    "lora_triggers": ["somebody's word"],
}


def test_its_stages_follow_each_other_from_its_begin_on():
    now = time.time()
    job = spans.of_a_job(LINE, "dev")
    assert job.begin == pytest.approx(now - 3, abs=0.5)
    laid = [(stage.name, stage.begin - job.begin, stage.seconds) for stage in job.children]
    assert laid == [
        ("parse", 0, 0.5),
        ("denoising", pytest.approx(0.5), 2.0),
        ("upload", pytest.approx(2.5), 0.25),
    ]


def test_it_has_the_models_name_and_none_of_the_texts():
    job = spans.of_a_job(LINE, "dev")
    assert job.attributes == {
        "job": "j",
        "status": "completed",
        "width": 256,
        "loras": 1,
        "model": "dev",
    }


@pytest.mark.parametrize(
    ("status", "failure"), [("failed", "ValueError"), ("refused", None), ("stopped", None)]
)
def test_only_what_failed_is_a_failure(status, failure):
    line = {**LINE, "status": status, **({"failure": failure, "at": ["line 1"]} if failure else {})}
    assert spans.of_a_job(line, "dev").failure == failure
