"""Prompts for scenes: synonyms, free word order, and parts left out.

A part that the prompt leaves out is drawn by lot in the picture, which is what a negative prompt
can then steer.
"""

from dataclasses import dataclass
from random import Random

from builder.demo_model import language
from builder.demo_model.dataset import Scene

OMIT_ONE = 0.12  # chance for each of colour, shape and background to be left out
ONLY_ONE = 0.10  # chance that the prompt names one single thing, as negative prompts do
SAY_SIZE = 0.85  # chance that a small or a large object is called so
EMPTY = 0.10  # chance of no text at all, for classifier-free guidance


@dataclass(frozen=True)
class Said:
    """What a prompt says of a scene; None is what it leaves open."""

    shape: str | None = None
    colour: str | None = None
    background: str | None = None
    size: str | None = None


def sample_said(scene: Scene, random: Random) -> Said:
    """Choose by lot what a prompt tells of the scene."""
    lot = random.random()
    if lot < EMPTY:
        return Said()
    if lot < EMPTY + ONLY_ONE:
        part = random.choice(("shape", "colour", "background"))
        return Said(**{part: getattr(scene, part)})
    shape, colour, background = (
        None if random.random() < OMIT_ONE else part
        for part in (scene.shape, scene.colour, scene.background)
    )
    told = scene.size != "medium" and random.random() < SAY_SIZE
    return Said(shape, colour, background, scene.size if told else None)


def write(said: Said, random: Random) -> str:
    """Put it into words, each time in others; nothing said is the empty prompt."""
    if said == Said():
        return ""
    thing = _object(said, random)
    behind = _background(said, random)
    parts = [part for part in (thing, behind) if part]
    if len(parts) == 2 and random.random() < 0.25:
        text = f"{behind}, {thing}"
    else:
        text = random.choice((" ", " ", ", ")).join(parts)
    if random.random() < 0.1:
        text = f"{random.choice(('a picture of', 'an image of', 'a drawing of'))} {text}"
    if random.random() < 0.15:
        text = text[0].upper() + text[1:]
    return text + random.choice(("", "", "", "."))


def _word(name: str, synonyms: dict[str, tuple[str, ...]], random: Random) -> str:
    return name if random.random() < 0.6 else random.choice(synonyms.get(name, (name,)))


def _object(said: Said, random: Random) -> str:
    if said.shape is said.colour is said.size is None:
        return "" if random.random() < 0.5 else random.choice(("a shape", "shape"))
    size = _word(said.size, language.SIZES, random) if said.size else ""
    colour = _word(said.colour, language.COLOURS, random) if said.colour else ""
    shape = _word(said.shape, language.SHAPES, random) if said.shape else ""
    if colour and not shape and not size and random.random() < 0.5:
        return colour
    noun = shape or "shape"
    if colour and random.random() < 0.1:
        words = [size, noun, "in", colour]
    elif colour and random.random() < 0.1:
        words = [size, noun + ",", colour]
    else:
        words = [size, colour, noun]
    phrase = " ".join(word for word in words if word)
    article = random.choice(
        ("", "the", _indefinite(phrase), _indefinite(phrase), _indefinite(phrase))
    )
    return f"{article} {phrase}".strip()


def _background(said: Said, random: Random) -> str:
    if said.background is None:
        return ""
    colour = _word(said.background, language.COLOURS, random)
    place = random.choice(("background", "background", "background", "backdrop"))
    article = _indefinite(colour)
    forms = [f"on {article} {colour} {place}"] * 3
    forms += [f"with {article} {colour} {place}", f"{colour} {place}"]
    if said.shape or said.colour:
        forms.append(f"on {colour}")
    return random.choice(forms)


def _indefinite(phrase: str) -> str:
    return "an" if phrase[0] in "aeiou" else "a"
