"""How a generation is followed from step to step, and stopped."""

from threading import Event
from types import SimpleNamespace

import pytest
import torch
from conftest import counting_calls
from diffusers import FluxImg2ImgPipeline
from pictures import difference, opened
from PIL import Image

from flux_worker.errors import GenerationStopped
from flux_worker.generation import steps
from flux_worker.generation.report import Progress
from flux_worker.generation.steps import StepCallback


def test_every_step_is_told_with_the_time_that_is_left(reports):
    _, told = reports(num_inference_steps=5)
    assert [(progress.step, progress.steps) for progress in told] == [(n, 5) for n in range(1, 6)]
    assert all(progress.eta_seconds > 0 for progress in told[:-1])
    assert told[-1].eta_seconds == 0


def test_steps_that_begin_in_the_middle_are_told_to_their_end(pipe, generate):
    """A pipeline that starts from a picture runs the schedule's later steps alone."""
    start = Image.fromarray(generate(num_inference_steps=20, width=512, height=512).pixels)
    told: list[Progress] = []
    follow = StepCallback(torch.device("cpu"), Event(), told.append, preview=(512, 512))
    (picture,) = FluxImg2ImgPipeline(**pipe.components)(
        "a blue star on a white background",
        image=start,
        width=512,
        height=512,
        strength=0.6,
        num_inference_steps=20,
        generator=torch.Generator("cpu").manual_seed(1),
        max_sequence_length=64,
        callback_on_step_end=follow,
    ).images
    assert [(progress.step, progress.steps) for progress in told] == [
        (step, 12) for step in range(1, 13)
    ]
    assert told[-1].body()["percent"] == 100
    assert told[-1].eta_seconds == 0
    previews = [progress.preview for progress in told if progress.preview]
    assert difference(opened(previews[-1]), picture) < 16


def test_after_a_stop_no_step_begins_and_nothing_is_decoded(pipe, generate):
    stop = Event()

    def report(progress):
        if progress.step == 3:
            stop.set()

    steps, decodings = counting_calls(pipe.transformer), counting_calls(pipe.vae.decoder)
    with steps as stepped, decodings as decoded, pytest.raises(GenerationStopped):
        generate(num_inference_steps=20, stop=stop, report=report)
    assert (len(stepped), len(decoded)) == (3, 0)
    assert generate().pixels.shape == (256, 256, 3)


def test_a_stop_before_the_first_step_is_heard_too(pipe, generate):
    stop = Event()
    stop.set()
    with counting_calls(pipe.transformer) as stepped, pytest.raises(GenerationStopped):
        generate(stop=stop)
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
    follow = StepCallback(torch.device("cuda"), Event(), told.append)
    pipe = SimpleNamespace(num_timesteps=5)
    for index in range(5):
        happened.append(("queued", index + 1))
        follow(pipe, index, None, {})
    for step in range(3, 6):
        assert happened.index(("waited for", step - 2)) < happened.index(("queued", step))
        assert ("waited for", step - 1) not in happened[: happened.index(("queued", step))]
    assert told[0].eta_seconds is None
    later = [progress.eta_seconds for progress in told[1:]]
    assert later == pytest.approx([0.4, 0.3, 0.2, 0.1])
    assert follow.seconds_per_step() == pytest.approx(0.1)


def test_on_a_cpu_a_step_takes_what_the_clock_says(monkeypatch):
    """The first counts only while there is no other: a picture is encoded before it."""
    clock = SimpleNamespace(now=1000.0)
    monkeypatch.setattr(steps, "time", SimpleNamespace(perf_counter=lambda: clock.now))
    told = []
    follow = StepCallback(torch.device("cpu"), Event(), told.append)
    for index, seconds in enumerate((5.0, 3.0, 1.0, 2.0)):
        clock.now += seconds
        follow(SimpleNamespace(num_timesteps=4), index, None, {"latents": None})
    assert [progress.eta_seconds for progress in told] == [15.0, 6.0, 2.0, 0.0]
    assert follow.seconds_per_step() == 2.0
