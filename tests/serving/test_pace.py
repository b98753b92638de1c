"""How long a generation will still take."""

import math

import pytest
from conftest import request

from flux_worker.generation.report import Progress
from flux_worker.serving.pace import KEPT, Pace

SECONDS = {"text_encoding": 0.5, "denoising": 2.0, "per_step": 2.0, "decoding": 1.0}


def remaining(progress=None, **given):
    pace = Pace()
    pace.note(request(), SECONDS)
    return pace.remaining(request(num_inference_steps=4, **given), progress)


def test_before_its_beginning_all_stages_count():
    assert remaining() == 0.5 + 4 * 2.0 + 1.0


def test_what_comes_before_the_steps_counts_once():
    """A picture's encoding, which the pipeline does before its loop."""
    pace = Pace()
    pace.note(request(num_inference_steps=2), {**SECONDS, "denoising": 4.7})
    assert pace.remaining(request(num_inference_steps=4)) == pytest.approx(
        0.5 + 0.7 + 4 * 2.0 + 1.0
    )


def test_of_a_picture_the_steps_that_run_count():
    pace, picture = Pace(), {"image": "data:image/png,x", "strength": 0.5}
    pace.note(request(num_inference_steps=4, **picture), {**SECONDS, "denoising": 4.0})
    assert pace.remaining(request(num_inference_steps=8, **picture)) == 0.5 + 4 * 2.0 + 1.0
    assert pace.remaining(request(num_inference_steps=8)) == math.inf


def test_while_it_runs_its_own_steps_count():
    assert remaining(Progress(1, 4, eta_seconds=3.0)) == 3.0 + 1.0
    assert remaining(Progress(4, 4, eta_seconds=0.0)) == 1.0


def test_before_a_step_was_timed_the_steps_of_the_last_one_count():
    assert remaining(Progress(1, 4)) == 3 * 2.0 + 1.0


def test_the_prompt_the_seed_and_the_number_of_steps_change_no_times():
    assert remaining(prompt="a blue star", seed=9) == remaining()


def test_nothing_is_foreseen_of_another_kind_of_image():
    assert remaining(width=272) == math.inf
    assert remaining(height=272) == math.inf
    assert remaining(negative_prompt="blue") == math.inf
    assert remaining(negative_prompt="blue", true_cfg_scale=1.0) < math.inf  # that is one pass


def test_the_newest_time_counts_and_the_oldest_kinds_are_forgotten():
    pace = Pace()
    for number in range(KEPT):
        pace.note(request(width=256 + number), SECONDS)
    pace.note(request(width=256), {**SECONDS, "decoding": 3.0})
    pace.note(request(width=999), SECONDS)
    assert pace.remaining(request(width=256)) == 0.5 + 2.0 + 3.0
    assert pace.remaining(request(width=257)) == math.inf
