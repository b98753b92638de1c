"""How single values are checked and written."""

import math

import pytest
from pydantic import BaseModel, ValidationError

from flux_worker.contract import values
from flux_worker.contract.catalog import DEV


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (12, "12"),
        ("x", '"x"'),
        (None, "null"),
        (True, "true"),
        ({"a": [1]}, '{"a": [1]}'),
        ("x" * 38, f'"{"x" * 38}"'),
        ("x" * 39, f'"{"x" * 36}...'),
        (10**5000, "an unprintable int"),
    ],
    ids=lambda given: None if isinstance(given, str) else type(given).__name__,
)
def test_values_are_shown_in_json_and_short(value, text):
    assert values.shown(value) == text


def test_endless_nesting_is_unprintable():
    nested = []
    for _ in range(100_000):
        nested = [nested]
    assert values.shown(nested) == "an unprintable list"


class Checked(BaseModel):
    """A field of each type, by the names that have limits in the catalogue."""

    preview: values.Flag = False
    seed: values.Seed = 1
    width: values.Integer = 1024
    guidance: values.Number = 1.0
    prompt: values.Prompt = "x"
    negative_prompt: values.NegativePrompt = None
    image_format: values.ImageFormat = "png"


def check(**given):
    return Checked.model_validate(given, context=values.context(DEV))


def fault(**given):
    with pytest.raises(ValidationError) as caught:
        check(**given)
    return caught.value.errors()[0]["msg"]


@pytest.mark.parametrize("value", [0, 1, "true", None, []])
def test_a_flag_is_true_or_false(value):
    assert check(preview=True).preview is True
    assert "must be true or false" in fault(preview=value)


def test_drawn_seeds_are_spread_over_32_bits():
    drawn = [check(seed=-1).seed for _ in range(200)]
    assert 0 <= min(drawn) < 2**28
    assert 2**32 - 2**28 < max(drawn) < 2**32


def test_the_seed_that_is_given_is_the_one_that_is_used():
    assert [check(seed=seed).seed for seed in (0, 1, 2**63 - 1)] == [0, 1, 2**63 - 1]


def test_numbers_become_floats():
    assert isinstance(check(guidance=3).guidance, float)


@pytest.mark.parametrize("value", [True, False, "3", None, [3]])
def test_what_only_looks_like_a_number_is_none(value):
    assert fault(guidance=value).startswith("must be a number between 0")
    assert fault(width=value).startswith("must be an integer between 256 and 1536")


@pytest.mark.parametrize("value", [-0.001, 10.001, math.nan, math.inf])
def test_a_number_lies_between_its_limits(value):
    assert [check(guidance=limit).guidance for limit in (0, 10)] == [0.0, 10.0]
    assert fault(guidance=value).startswith("must be between 0")


@pytest.mark.parametrize("value", [255, 1537, 255.0, 10**400])
def test_a_whole_number_lies_between_its_limits(value):
    assert [check(width=limit).width for limit in (256, 1536.0)] == [256, 1536]
    assert fault(width=value).startswith("must be between 256 and 1536")


def test_a_whole_number_has_no_fraction():
    assert fault(width=1024.5) == "must be an integer between 256 and 1536 (got 1024.5)"


@pytest.mark.parametrize("text", ["prompt", "negative_prompt"])
def test_a_text_has_at_most_10000_characters_all_of_them_whole(text):
    longest = "é" * 10_000
    assert getattr(check(**{text: longest}), text) == longest
    assert fault(**{text: longest + "é"}) == "must be at most 10000 characters (got 10001)"
    for character in "\ud7ff\ue000":
        assert getattr(check(**{text: f"a {character}"}), text) == f"a {character}"
    for half in "\ud800\udfff":
        assert "half a surrogate pair" in fault(**{text: f"a {half}"})
    assert fault(**{text: 5}) == "must be a string (got 5)"


def test_a_prompt_is_not_blank_and_a_blank_negative_prompt_is_none():
    assert fault(prompt=" \n") == "must not be blank"
    assert check(negative_prompt=" \n").negative_prompt is None
    assert check(negative_prompt=None).negative_prompt is None
    assert check(negative_prompt=" x ").negative_prompt == " x "


def test_texts_are_left_out_where_a_request_is_printed():
    assert "hush" not in repr(check(prompt="hush", negative_prompt="hush"))


def test_a_format_goes_by_its_name_whatever_its_alias():
    assert check(image_format="JPG").image_format == "jpeg"
    assert fault(image_format="gif") == 'must be "jpeg" or "png" (got "gif")'
