"""What clients see of a running job."""

import pytest

from flux_worker.generation.report import Progress


def test_the_time_that_is_left_is_not_guessed_before_a_step_was_timed():
    assert Progress(1, 28).body() == {"step": 1, "steps": 28, "percent": 4}


@pytest.mark.parametrize(("step", "steps", "percent"), [(1, 3, 33), (2, 3, 67), (28, 28, 100)])
def test_the_share_is_in_whole_percent(step, steps, percent):
    assert Progress(step, steps).body()["percent"] == percent


def test_all_that_is_known_is_told():
    assert Progress(3, 5, 1.2345, "data:image/jpeg;base64,x").body() == {
        "step": 3,
        "steps": 5,
        "percent": 60,
        "eta_seconds": 1.23,
        "preview": "data:image/jpeg;base64,x",
    }
