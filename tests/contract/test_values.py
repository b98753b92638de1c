"""How single values are checked and written."""

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


class Flagged(BaseModel):
    preview: values.Flag
    seed: values.Seed
    guidance: values.Number


def check(**given):
    given = {"preview": False, "seed": 1, "guidance": 1, **given}
    return Flagged.model_validate(given, context=values.context(DEV))


@pytest.mark.parametrize("value", [0, 1, "true", None, []])
def test_a_flag_is_true_or_false(value):
    assert check(preview=True).preview is True
    with pytest.raises(ValidationError, match="must be true or false"):
        check(preview=value)


def test_drawn_seeds_are_spread_over_32_bits():
    drawn = [check(seed=-1).seed for _ in range(200)]
    assert 0 <= min(drawn) < 2**28
    assert 2**32 - 2**28 < max(drawn) < 2**32


def test_numbers_become_floats():
    assert isinstance(check(guidance=3).guidance, float)
