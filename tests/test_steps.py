"""What is told of a generation while it runs, and how it is stopped."""

import base64
import io
from threading import Event

import numpy as np
import pytest
import torch
from conftest import counting_calls, request
from PIL import Image

from flux_worker import previews
from flux_worker.catalog import DEV
from flux_worker.errors import GenerationStopped
from flux_worker.generator import Generator
from flux_worker.steps import Progress, Steps


@pytest.fixture
def reports(pipe):
    def follow(**given):
        told = []
        generation = Generator(pipe, DEV).generate(request(**given), Event(), told.append)
        return generation, told

    return follow


def test_every_step_is_told_with_the_time_that_is_left(reports):
    _, told = reports(num_inference_steps=5)
    assert [(progress.step, progress.steps) for progress in told] == [(n, 5) for n in range(1, 6)]
    assert all(progress.eta_seconds > 0 for progress in told[:-1])
    assert told[-1].eta_seconds == 0
    assert told[2].body().keys() == {"step", "steps", "percent", "eta_seconds"}
    assert told[2].body()["percent"] == 60


def test_the_time_that_is_left_is_not_guessed_before_a_step_was_timed():
    assert Progress(1, 28).body() == {"step": 1, "steps": 28, "percent": 4}


def test_a_preview_is_given_to_those_who_ask_for_it(reports):
    _, without = reports(num_inference_steps=6)
    assert all(progress.preview is None for progress in without)
    _, told = reports(num_inference_steps=28, preview=True)
    assert len({progress.preview for progress in told} - {None}) == previews.PER_JOB
    assert told[-1].preview.startswith("data:image/jpeg;base64,")


@pytest.mark.parametrize(("width", "height"), [(512, 512), (768, 512), (1140, 800)])
def test_the_last_preview_resembles_the_image(reports, width, height):
    prompt = "a red circle on a white background"
    given = {"width": width, "height": height, "num_inference_steps": 20, "prompt": prompt}
    generation, told = reports(**given, preview=True)
    small = Image.open(io.BytesIO(base64.b64decode(told[-1].preview.partition(",")[2])))
    assert 240 <= max(small.size) <= 288
    assert small.width / small.height == pytest.approx(width / height, abs=0.15)
    whole = Image.fromarray(generation.pixels).resize((64, 64))
    difference = np.abs(np.asarray(small.resize((64, 64)), float) - np.asarray(whole, float))
    assert difference.mean() < 16


def test_a_preview_doesnt_change_the_image(reports):
    plain, _ = reports(num_inference_steps=4)
    watched, _ = reports(num_inference_steps=4, preview=True)
    np.testing.assert_array_equal(plain.pixels, watched.pixels)


@pytest.mark.parametrize(("steps", "expected"), [(1, 0), (2, 0), (3, 1), (4, 2), (8, 4), (50, 4)])
def test_previews_are_few_and_never_of_the_first_or_the_last_step(steps, expected):
    due = [step for step in range(1, steps + 1) if previews.due(step, steps)]
    assert len(due) == expected
    assert not {1, steps} & set(due)


def test_the_clean_estimate_is_exact_where_the_velocity_is():
    clean, noise = torch.randn(2, 1, 16, 64)
    before, after = (clean.lerp(noise, sigma) for sigma in (0.9, 0.7))
    estimate = previews.clean_estimate(before, after, 0.9, 0.7)
    torch.testing.assert_close(estimate, clean, atol=1e-5, rtol=1e-5)


def test_after_a_stop_no_step_begins_and_nothing_is_decoded(pipe):
    stop = Event()

    def report(progress):
        if progress.step == 3:
            stop.set()

    steps, decodings = counting_calls(pipe.transformer), counting_calls(pipe.vae.decoder)
    with steps as stepped, decodings as decoded, pytest.raises(GenerationStopped):
        Generator(pipe, DEV).generate(request(num_inference_steps=20), stop, report)
    assert (len(stepped), len(decoded)) == (3, 0)
    assert Generator(pipe, DEV).generate(request(), Event()).pixels.shape == (256, 256, 3)


def test_a_stop_before_the_first_step_is_heard_too(pipe):
    stop = Event()
    stop.set()
    with counting_calls(pipe.transformer) as stepped, pytest.raises(GenerationStopped):
        Generator(pipe, DEV).generate(request(), stop)
    assert not stepped


def test_the_host_runs_at_most_one_step_ahead_of_the_gpu(monkeypatch):
    """Step k is queued only when step k-2 has ended, so a stop never finds a long queue."""
    happened = []

    class FakeEvent:
        made = 0

        def __init__(self, enable_timing):
            assert enable_timing
            self.number = FakeEvent.made
            FakeEvent.made += 1

        def record(self):
            happened.append(("recorded", self.number))

        def synchronize(self):
            happened.append(("waited for", self.number))

        def elapsed_time(self, later):
            return 100.0 * (later.number - self.number)

    monkeypatch.setattr(torch.cuda, "Event", FakeEvent)
    told = []
    steps = Steps(5, torch.device("cuda"), Event(), told.append)
    for index in range(5):
        happened.append(("queued", index + 1))
        steps(None, index, None, {})
    for step in range(3, 6):
        assert happened.index(("waited for", step - 2)) < happened.index(("queued", step))
        assert ("waited for", step - 1) not in happened[: happened.index(("queued", step))]
    assert told[0].eta_seconds is None
    later = [progress.eta_seconds for progress in told[1:]]
    assert later == pytest.approx([0.3, 0.2, 0.1, 0.0])
    assert steps.seconds_per_step() == pytest.approx(0.1)
