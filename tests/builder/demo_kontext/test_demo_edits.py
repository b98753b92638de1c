"""Pairs of pictures: what an instruction names changes, and all else stays as it is."""

from random import Random

import pytest

from builder.demo_kontext.edits import sample_edit, sample_family
from builder.demo_kontext.evaluation import KINDS, drawn, edits, marks
from builder.demo_kontext.instructions import instruct
from builder.demo_model import language
from builder.demo_model.judge import look
from builder.demo_model.latents import Size

PARTS = ("shape", "colour", "background", "size")


def sampled(count):
    for seed in range(count):
        random = Random(seed)
        yield sample_edit(sample_family(random), random), random


def test_only_what_is_named_changes():
    for edit, _ in sampled(300):
        for part in PARTS:
            named, before = getattr(edit.said, part), getattr(edit.reference, part)
            assert getattr(edit.result, part) == (before if named is None else named)


def test_the_instruction_has_a_word_for_each_named_part():
    words = {**language.COLOURS, **language.SHAPES, **language.SIZES}
    for edit, random in sampled(300):
        text = instruct(edit.said, edit.reference, random).lower()
        for part in PARTS:
            if named := getattr(edit.said, part):
                # "larger" is a word for large, as "smaller" is for small.
                assert any(word in text for word in words[named]), (text, named)


@pytest.mark.parametrize("kind", KINDS)
def test_a_drawing_of_what_was_asked_for_gets_every_mark(kind):
    for edit in edits(KINDS[kind], 20):
        result = look(drawn(edit.result, Size(512, 512)))
        assert all(marks(result, result).values())
        unchanged = marks(look(drawn(edit.reference, Size(512, 512))), result)
        assert not any(unchanged[part] for part in KINDS[kind])
