"""What counts as a misspelling, and what as somebody else's parameter."""

from functools import cache
from itertools import product

import pytest

from flux_worker.contract import spelling
from flux_worker.contract.request import ImageRequest


@pytest.mark.parametrize(
    ("key", "meant"),
    [
        ("heigth", "height"),
        ("promt", "prompt"),
        ("Width", "width"),
        ("negativ_promt", "negative_prompt"),
        ("negativePrompt", "negative_prompt"),
        ("numInferenceSteps", "num_inference_steps"),
        ("num_inference_step", "num_inference_steps"),
        ("guidence", "guidance"),
        ("seeds", "seed"),
        ("steps", None),
        ("n_steps", None),
        ("style", None),
        ("wdith_px", None),
        ("cfg", None),
    ],
)
def test_what_counts_as_a_misspelling(key, meant):
    names = list(ImageRequest.model_fields)
    assert spelling.meant(key, names) == meant


@pytest.mark.parametrize(
    ("left", "right", "count"),
    [
        ("", "", 0),
        ("seed", "seed", 0),
        ("", "seed", 4),
        ("seed", "seeds", 1),
        ("seed", "sed", 1),
        ("seed", "send", 1),
        ("seed", "sede", 1),
        ("width", "height", 4),
        ("kitten", "sitting", 3),
    ],
)
def test_edits_are_counted(left, right, count):
    assert spelling.edits(left, right) == spelling.edits(right, left) == count


@cache
def defined(left, right):
    """The distance, as its definition has it: the best way to undo what was done last."""
    if not left or not right:
        return len(left) + len(right)
    ways = [
        defined(left[:-1], right) + 1,
        defined(left, right[:-1]) + 1,
        defined(left[:-1], right[:-1]) + (left[-1] != right[-1]),
    ]
    if left[-2:] == right[-2:][::-1] and len(left[-2:]) == 2:
        ways.append(defined(left[:-2], right[:-2]) + 1)
    return min(ways)


def test_the_edits_of_all_short_words_are_those_of_the_definition():
    words = ["".join(letters) for n in range(5) for letters in product("abc", repeat=n)]
    for left, right in product(words, words):
        assert spelling.edits(left, right) == defined(left, right), (left, right)


def test_the_nearest_name_is_meant():
    assert spelling.meant("guidanc_scale", ["guidance", "guidance_scale"]) == "guidance_scale"


@pytest.mark.parametrize(("key", "meant"), [("sezd", "seed"), ("sexx", None), ("promptxx", None)])
def test_a_short_name_may_differ_in_one_place_alone(key, meant):
    assert spelling.meant(key, ["seed", "prompt"]) == meant


@pytest.mark.parametrize(
    ("key", "meant"), [("guidaaxe", "guidance"), ("guidan", "guidance"), ("guxxaxce", None)]
)
def test_a_long_name_may_differ_in_two(key, meant):
    assert spelling.meant(key, ["guidance"]) == meant
