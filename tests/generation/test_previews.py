"""Small pictures of what a generation is heading for."""

import numpy as np
import pytest
import torch
from pictures import difference, opened
from PIL import Image

from flux_worker.generation import previews


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
    small = opened(told[-1].preview)
    assert 240 <= max(small.size) <= 288
    assert small.width / small.height == pytest.approx(width / height, abs=0.15)
    assert difference(small, Image.fromarray(generation.pixels)) < 16


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
