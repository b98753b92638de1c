import asyncio
import math
from dataclasses import replace
from types import SimpleNamespace
from typing import ClassVar

import pytest
import torch
from conftest import run
from diffusers import (
    FlowMatchEulerDiscreteScheduler,
    FluxImg2ImgPipeline,
    FluxInpaintPipeline,
)
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pictures import DOCUMENTED_EDIT
from pydantic import ValidationError

from flux_worker.contract.catalog import DEV, KONTEXT, MODELS, SCHNELL, Bounds
from flux_worker.contract.request import ImageRequest
from flux_worker.delivery.storage import Storage
from flux_worker.errors import GenerationFailed, InvalidRequest
from flux_worker.serving.worker import Worker
from flux_worker.settings import Settings


def parse(model=DEV, **given):
    return ImageRequest.parse({"prompt": "a red circle", **given}, model)[0]


def error_of(model=DEV, **given):
    with pytest.raises(InvalidRequest) as refusal:
        parse(model, **given)
    return str(refusal.value)


def test_a_models_own_limits_and_defaults_are_used():
    parameters = replace(DEV.parameters, guidance=Bounds(1.0, 2.0, 1.5), image_format="png")
    other = replace(DEV, parameters=parameters)
    assert (parse(other).guidance, parse(other).image_format) == (1.5, "png")
    assert "guidance must be between 1.0 and 2.0 (got 2.5)" in error_of(other, guidance=2.5)


def test_defaults_are_the_documented_ones():
    request = parse()
    assert (request.width, request.height, request.guidance) == (1024, 1024, 7.5)
    assert (request.num_inference_steps, request.image_format) == (28, "jpeg")
    assert request.negative_prompt is None
    assert request.true_cfg_scale == 2.0
    assert request.preview is False
    assert parse(SCHNELL).num_inference_steps == 4


@pytest.mark.parametrize(
    ("key", "low", "high", "model"),
    [
        ("width", 256, 1536, DEV),
        ("height", 256, 1536, SCHNELL),
        ("num_inference_steps", 1, 50, DEV),
        ("num_inference_steps", 1, 8, SCHNELL),
        ("guidance", 0, 10, DEV),
        ("true_cfg_scale", 1, 10, DEV),
        ("seed", -1, 2**63 - 1, DEV),
        ("strength", 0, 1, DEV),
        ("strength", 0, 1, SCHNELL),
    ],
)
def test_limits_are_inclusive_and_nothing_beyond_is_accepted(key, low, high, model):
    parse(model, **{key: low})
    assert getattr(parse(model, **{key: high}), key) == high
    for value in (low - 1, high + 1):
        assert f"{key} must be between" in error_of(model, **{key: value})


def test_all_violations_are_reported_in_one_sentence():
    assert error_of(SCHNELL, width=2000, num_inference_steps=28) == (
        "Invalid parameter: width must be between 256 and 1536 (got 2000); "
        "num_inference_steps must be between 1 and 8 (got 28)"
    )


@pytest.mark.parametrize("value", [True, "1024", math.nan, math.inf, -math.inf, 1024.5, [1], {}])
def test_a_side_is_a_whole_number(value):
    assert "width must be an integer between 256 and 1536" in error_of(width=value)


def test_integral_floats_are_accepted():
    assert parse(width=1024.0).width == 1024
    assert isinstance(parse(width=1024.0).width, int)


@pytest.mark.parametrize("value", [True, "7.5", math.nan, math.inf, -0.1, 10.01, [], 10**400])
def test_guidance_is_a_finite_number(value):
    assert "guidance must be" in error_of(guidance=value)


def test_guidance_zero_is_kept():
    assert parse(guidance=0).guidance == 0.0


PICTURE = "https://example.com/fox.png?secret"


def test_the_documented_request_of_kontext_and_its_defaults():
    """https://docs.runpod.io/public-endpoints/models/flux-kontext-dev."""
    request = parse(KONTEXT, image=PICTURE, **DOCUMENTED_EDIT)
    assert request.model_copy(update={"seed": 1}) == parse(KONTEXT, image=PICTURE, seed=1)
    assert (request.width, request.height, request.image_format) == (1024, 1024, "png")
    assert (request.guidance, request.num_inference_steps, request.strength) == (2.0, 28, None)


def test_kontext_has_no_strength():
    assert error_of(KONTEXT, image=PICTURE, strength=0.5) == (
        "Invalid parameter: strength is no parameter of FLUX.1-Kontext-dev: leave it out"
    )
    assert parse(KONTEXT, image=PICTURE).steps == 28


def test_a_strength_counts_only_where_there_is_a_picture():
    assert parse(strength=0.1).steps == 28
    assert parse(strength=0.1, image=PICTURE).steps == 3
    assert parse(image=PICTURE).steps == 23


STRENGTHS = [*(n / 100 for n in range(1, 101)), 1 / 3, 1e-9, 1e-17, 5e-324, 0.999999, 1 - 2**-53]


@pytest.mark.parametrize("pipeline", [FluxImg2ImgPipeline, FluxInpaintPipeline])
@pytest.mark.parametrize("steps", range(1, 51))
def test_the_steps_that_run_are_diffusers_own(pipeline, steps):
    scheduler = FlowMatchEulerDiscreteScheduler()
    scheduler.set_timesteps(steps, device="cpu")
    pipe = SimpleNamespace(scheduler=scheduler)
    for strength in STRENGTHS:
        request = parse(image=PICTURE, strength=strength, num_inference_steps=steps)
        passed = max(strength, 1 / steps)
        timesteps, run = pipeline.get_timesteps(pipe, steps, passed, torch.device("cpu"))
        assert request.steps == run == len(timesteps), strength
        assert request.steps >= steps * strength - 1e-9


@pytest.mark.parametrize("steps", range(1, 51))
def test_no_strength_runs_no_step_and_the_whole_runs_them_all(steps):
    assert parse(image=PICTURE, strength=0, num_inference_steps=steps).steps == 0
    assert parse(image=PICTURE, strength=1, num_inference_steps=steps).steps == steps


@pytest.mark.parametrize("value", [True, "0.5", math.nan, -0.01, 1.01, []])
@pytest.mark.parametrize("picture", [{}, {"image": PICTURE}])
def test_a_strength_is_a_number_from_0_to_1(value, picture):
    assert "strength must be" in error_of(strength=value, **picture)


def test_a_picture_decides_the_sides_that_are_left_to_it():
    def sized(model=DEV, **given):
        request = parse(model, image=PICTURE, **given).sized_by(900, 600, model)
        return request.width, request.height

    assert sized() == (900, 600)
    assert sized(width=450) == (450, 300)
    assert sized(height=300) == (450, 300)
    assert sized(width=512, height=512) == (512, 512)
    assert sized(size="768*512") == (768, 512)
    assert sized(aspect_ratio="1:1") == (1024, 1024)
    assert sized(image_size="square") == (512, 512)
    assert sized(KONTEXT) == (1024, 1024)
    assert parse().sized_by(900, 600, DEV).width == 1024


def test_a_picture_decides_the_size_and_nothing_else():
    request = parse(image=PICTURE, mask_image=PICTURE, seed=3, strength=0.5)
    once = request.sized_by(900, 600, DEV)
    assert (once.task, once.seed, once.steps) == ("inpainting", 3, request.steps)


def test_a_picture_in_whose_shape_nothing_is_made_is_refused():
    with pytest.raises(InvalidRequest, match="image is 3000x300, and in that shape it would be"):
        parse(image=PICTURE).sized_by(3000, 300, DEV)
    assert parse(image=PICTURE, width=512, height=256).sized_by(3000, 300, DEV).height == 256


@pytest.mark.parametrize("model", MODELS.values(), ids=MODELS)
def test_a_pictures_address_is_not_shown_when_the_request_is_printed(model):
    assert "secret" not in repr(parse(model, image=PICTURE))


@pytest.mark.parametrize("name", ["image", "mask_image"])
def test_runpods_words_are_in_the_refusal_of_a_picture_and_its_address_is_not(name):
    message = error_of(**{"image": PICTURE, name: "http://example.com/secret.png"})
    assert "Invalid image URL" in message
    assert name in message
    assert "secret" not in message


def test_null_is_the_default_for_every_optional_key():
    keys = [key for key in ImageRequest.model_fields if key not in ("prompt", "seed")]
    assert parse(seed=3, **dict.fromkeys(keys)) == parse(seed=3)


@pytest.mark.parametrize("blank", [None, "", "  \n"])
def test_a_blank_negative_prompt_is_none(blank):
    assert parse(negative_prompt=blank).negative_prompt is None


@pytest.mark.parametrize(
    ("prompt", "rule"),
    [
        ("", "prompt must not be blank"),
        (" \t", "prompt must not be blank"),
        (None, "prompt is required"),
        (12, "prompt must be a string (got 12)"),
        ("x" * 10_001, "prompt must be at most 10000 characters (got 10001)"),
        ("\ud800", "prompt must be valid Unicode (got half a surrogate pair)"),
    ],
)
def test_the_prompt_is_a_string_of_at_most_10000_characters(prompt, rule):
    assert error_of(prompt=prompt) == f"Invalid parameter: {rule}"


def test_the_longest_prompt_is_accepted():
    assert len(parse(prompt="é" * 10_000).prompt) == 10_000


@pytest.mark.parametrize("given", [None, -1, -1.0])
def test_a_seed_left_open_is_drawn(given):
    drawn = {parse(seed=given).seed for _ in range(20)}
    assert len(drawn) == 20
    assert max(drawn) > 2**30


def test_seed_zero_is_a_seed():
    assert parse(seed=0).seed == 0


@pytest.mark.parametrize(
    ("given", "expected"),
    [("jpeg", "jpeg"), ("jpg", "jpeg"), ("png", "png"), ("PNG", "png"), (None, "jpeg")],
)
def test_formats(given, expected):
    assert parse(image_format=given).image_format == expected


def test_an_unknown_format_is_refused():
    assert error_of(image_format="webp") == (
        'Invalid parameter: image_format must be "jpeg" or "png" (got "webp")'
    )


@pytest.mark.parametrize("key", ["Size", "siez", "SIZE", "sizes"])
def test_a_misspelt_size_is_refused_too(key):
    """It would be made at 1024×1024 and charged for."""
    assert f"'{key}' is not a parameter; did you mean 'size'?" in error_of(**{key: "768*512"})


def test_aliases_stand_for_the_documented_keys_which_win():
    assert parse(output_format="png").image_format == "png"
    assert parse(guidance_scale=3).guidance == 3
    assert parse(guidance_scale=3, guidance=4).guidance == 4
    assert "guidance_scale must be between" in error_of(guidance_scale=11)


def test_a_misspelt_parameter_is_refused_with_a_suggestion():
    assert error_of(widht=512) == (
        "Invalid parameter: 'widht' is not a parameter; did you mean 'width'?"
    )


@pytest.mark.parametrize(
    "key",
    ["prompt_strength", "enable_safety_checker", "maxPollAttempts", "pollIntervalMillis", "user"],
)
def test_keys_of_other_models_are_ignored_and_named(key):
    request, unread = ImageRequest.parse({"prompt": "x", "seed": 1, key: "y"}, DEV)
    assert unread == [key]
    assert request == parse(prompt="x", seed=1)


@pytest.mark.parametrize("job_input", [None, [], "a prompt", 3, True])
def test_an_input_that_is_no_object_is_refused(make_worker, job_input):
    answer = run(make_worker(), job_input)
    assert answer["error"].startswith("Invalid parameter: input must be an object")
    assert set(answer) == {"error"}


def test_a_missing_input_is_refused(make_worker):
    answer = asyncio.run(make_worker().handle({"id": "x"}))
    assert answer["error"].startswith("Invalid parameter: input must be an object")


def test_prompts_are_not_shown_when_the_request_is_printed():
    assert "secret" not in repr(parse(prompt="secret", negative_prompt="secret"))


def test_a_misspelling_with_half_a_surrogate_pair_can_be_answered():
    assert error_of(**{"wid\ud800th": 1}) == (
        "Invalid parameter: 'wid\\ud800th' is not a parameter; did you mean 'width'?"
    )


def test_an_absurd_number_of_keys_is_refused_at_once():
    assert error_of(**{f"k{i}": 1 for i in range(100)}) == (
        "Invalid parameter: input must have at most 100 keys (got 101)"
    )


def test_as_many_keys_as_may_be_are_read():
    given = {"prompt": "x", **{f"k{i}": 1 for i in range(99)}}
    assert len(ImageRequest.parse(given, DEV)[1]) == 99


def test_a_request_stays_as_it_was_checked():
    with pytest.raises(ValidationError, match="frozen"):
        parse().width = 100_000


def test_a_jobs_bucket_and_its_input_are_judged_together(make_worker):
    answer = run(make_worker(), {"prompt": "x", "width": 1}, s3Config={"accessId": "x"})
    assert answer["error"] == (
        "Invalid parameter: width must be between 256 and 1536 (got 1); "
        "s3Config must give accessSecret, endpointUrl as text"
    )


class NeverGenerates:
    """Stands where the GPU would, and counts how often it was asked."""

    asked = 0
    layers: ClassVar = {}
    multiple = 16

    async def generate(self, *_: object) -> None:
        self.asked += 1
        raise GenerationFailed("asked")


@pytest.fixture(scope="module")
def never():
    return NeverGenerates()


@pytest.fixture(scope="module")
def worker(never):
    return Worker(Settings(), never, Storage(Settings()))


names = st.sampled_from([*ImageRequest.model_fields, "size", "output_format", "guidance_scale"])
numbers = st.integers() | st.floats() | st.sampled_from([256, 1024.0, 10**400, -1, 2**63])
scalars = st.none() | st.booleans() | numbers | st.text() | st.sampled_from(["512*512", "png"])
nested = st.lists(scalars, max_size=3) | st.dictionaries(st.text(max_size=5), scalars, max_size=3)
keys = names | st.text(st.characters(), max_size=20)  # half surrogate pairs too, as JSON can hold
objects = st.dictionaries(keys, scalars | nested, max_size=5)
inputs = scalars | nested | objects | objects.map(lambda given: {"prompt": "x", **given})


@given(job_input=inputs)
@settings(max_examples=2500, suppress_health_check=list(HealthCheck))
def test_any_input_gets_an_answer_with_a_string(worker, never, job_input):
    before = never.asked
    answer = run(worker, job_input)
    assert set(answer) == {"error"}
    answer["error"].encode()
    accepted = never.asked > before
    assert answer["error"] == "asked" if accepted else answer["error"].startswith("Invalid param")


def test_a_number_too_long_to_be_written_is_refused():
    assert error_of(width=10**5000) == (
        "Invalid parameter: width must be between 256 and 1536 (got an unprintable int)"
    )
