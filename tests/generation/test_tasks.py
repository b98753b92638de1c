"""What each task asks of its pipeline, and that its pixels are those of diffusers' own."""

import inspect
from threading import Event

import numpy as np
import pytest
import torch
from conftest import counting_calls, request
from diffusers import FluxImg2ImgPipeline, FluxInpaintPipeline, FluxKontextPipeline
from lora_files import adapter
from pictures import png, view, white_box
from PIL import Image

from flux_worker.contract.catalog import DEV, KONTEXT, PICTURES, SCHNELL
from flux_worker.errors import GenerationStopped
from flux_worker.generation.inputs import Inputs
from flux_worker.generation.tasks import WAYS, text_to_image
from flux_worker.pictures.fitting import FEATHER


def test_text_to_image_hands_on_what_was_asked_for():
    asked = request(num_inference_steps=9, guidance=3, true_cfg_scale=4, seed=5)
    arguments = text_to_image(asked, Inputs(), (288, 256))
    noise = arguments.pop("generator")
    assert arguments == {
        "width": 288,
        "height": 256,
        "num_inference_steps": 9,
        "guidance_scale": 3.0,
        "true_cfg_scale": 4.0,
    }
    assert (noise.device, noise.initial_seed()) == (torch.device("cpu"), 5)


def test_every_task_has_a_pipeline_that_takes_its_pictures():
    assert WAYS.keys() == PICTURES.keys()
    for task, way in WAYS.items():
        assert set(inspect.signature(way.pipeline.__call__).parameters) >= PICTURES[task]


@pytest.fixture
def plain(pipe):
    """Draw by a pipeline of diffusers, as its documentation does, with the defaults of dev."""

    def draw(kind, steps, width, height, guidance=7.5, **given):
        made = kind(**pipe.components)
        made.set_progress_bar_config(disable=True)
        return np.asarray(
            made(
                prompt="a red circle",
                width=width,
                height=height,
                num_inference_steps=steps,
                guidance_scale=guidance,
                generator=torch.Generator("cpu").manual_seed(7),
                max_sequence_length=64,
                **given,
            ).images[0]
        )

    return draw


SIZES = [(256, 256), (512, 320), (320, 608)]


@pytest.mark.parametrize(("width", "height"), SIZES)
@pytest.mark.parametrize("strength", [0.01, 0.3, 1])
def test_image_to_image_gives_the_pixels_of_the_plain_pipeline(
    generate, plain, width, height, strength
):
    picture = view(width, height)
    given = {"num_inference_steps": 3, "width": width, "height": height}
    ours = generate(image=png(picture), strength=strength, **given).pixels
    strength = max(strength, 1 / 3)  # at least one step
    theirs = plain(
        FluxImg2ImgPipeline, 3, width, height, image=Image.fromarray(picture), strength=strength
    )
    np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize(("width", "height"), SIZES)
def test_inpainting_gives_them_inside_of_the_mask(generate, plain, width, height):
    picture, mask = view(width, height), white_box(width, height, 64, 32, 192, 224)
    given = {"num_inference_steps": 3, "width": width, "height": height}
    ours = generate(image=png(picture), mask_image=png(mask), strength=0.9, **given).pixels
    pictures = {"image": Image.fromarray(picture), "mask_image": Image.fromarray(mask)}
    theirs = plain(FluxInpaintPipeline, 3, width, height, strength=0.9, **pictures)
    inside = slice(32 + FEATHER, 224 - FEATHER), slice(64 + FEATHER, 192 - FEATHER)
    np.testing.assert_array_equal(ours[inside], theirs[inside])
    np.testing.assert_array_equal(ours[mask == 0], picture[mask == 0])


@pytest.mark.parametrize(("width", "height"), [(256, 256), (320, 608)])
@pytest.mark.parametrize("shape", [(300, 300), (640, 200)])
def test_editing_gives_them_whatever_the_pictures_shape(generate, plain, width, height, shape):
    picture = view(*shape)
    given = {"num_inference_steps": 2, "width": width, "height": height}
    ours = generate(KONTEXT, image=png(picture), **given).pixels
    theirs = plain(
        *(FluxKontextPipeline, 2, width, height),
        guidance=2.0,
        image=Image.fromarray(picture),
        max_area=width * height,
    )
    np.testing.assert_array_equal(ours, theirs)


EACH = [
    (DEV, {"image": png(view(256, 256))}),
    (SCHNELL, {"image": png(view(256, 256))}),
    (DEV, {"image": png(view(256, 256)), "mask_image": png(white_box(256, 256, 0, 0, 128, 256))}),
    (KONTEXT, {"image": png(view(256, 256))}),
]


@pytest.mark.parametrize(("model", "pictures"), EACH)
def test_a_negative_prompt_and_loras_count_in_every_task(pipe, generate, model, pictures, tmp_path):
    def draw(**given):
        return generate(model, **pictures, num_inference_steps=2, **given).pixels

    once = draw()
    with counting_calls(pipe.transformer) as passes:
        steered = draw(negative_prompt="blue")
    assert len(passes) == 4
    assert (once != steered).any()
    lora = adapter(tmp_path, pipe.loras.layers)
    assert (once != draw(loras=((lora, 4.0),))).any()
    np.testing.assert_array_equal(once, draw())
    scaled = draw(loras=((lora, 0.0),))
    np.testing.assert_array_equal(once, scaled)


@pytest.mark.parametrize(("model", "pictures"), EACH)
def test_progress_previews_and_stops_are_those_of_the_steps_that_run(
    pipe, generate, model, pictures
):
    stop, told = Event(), []
    given = {"strength": 0.5} if model.parameters.strength else {}
    given |= {"num_inference_steps": 8 if given else 4, **pictures}
    generate(model, report=told.append, preview=True, **given)
    assert [(each.step, each.steps) for each in told] == [(n, 4) for n in range(1, 5)]
    assert told[-1].preview.startswith("data:image/jpeg;base64,")

    def stop_at_the_second(progress):
        if progress.step == 2:
            stop.set()

    with (
        counting_calls(pipe.transformer) as passes,
        counting_calls(pipe.vae.decoder) as decodings,
        pytest.raises(GenerationStopped),
    ):
        generate(model, stop=stop, report=stop_at_the_second, **given)
    assert (len(passes), len(decodings)) == (2, 0)


def test_at_a_strength_of_0_the_picture_comes_back_without_a_step(pipe, generate):
    picture = view(300, 258)
    with counting_calls(pipe.transformer) as passes:
        given = {"image": png(picture), "width": None, "height": None, "strength": 0}
        np.testing.assert_array_equal(generate(**given).pixels, picture)
    assert not passes


@pytest.mark.parametrize("size", [(300, 258), (257, 399)])
def test_outside_of_a_mask_every_pixel_is_the_pictures(generate, size):
    picture = view(*size)
    mask = white_box(*size, 100, 90, 200, 230)
    given = {"image": png(picture), "mask_image": png(mask), "width": None, "height": None}
    made = generate(**given, strength=1).pixels
    np.testing.assert_array_equal(made[mask == 0], picture[mask == 0])
    changed = (made != picture).any(axis=2)[mask > 0]
    assert changed.mean() > 0.9


def test_a_mask_of_a_few_pixels_is_painted_too(generate):
    """Whichever they are of a latent's: the plain pipeline looks at one of them alone."""
    picture, mask = view(256, 256), white_box(256, 256, 137, 137, 143, 143)
    pictures = {"image": png(picture), "mask_image": png(mask)}
    made = generate(**pictures, strength=1, num_inference_steps=2).pixels
    assert (made != picture).any(axis=2)[mask > 0].mean() > 0.5
    np.testing.assert_array_equal(made[mask == 0], picture[mask == 0])
