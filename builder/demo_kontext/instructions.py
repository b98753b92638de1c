"""Instructions for edits, in free wording: "make it blue", "turn the star into a circle".

The demo's tokenizers spell verbs letter by letter; only colours, shapes, sizes and "background" are
words of theirs. The frozen encoders tell these apart in whatever frame the letters make.
"""

from random import Random

from builder.demo_model import language
from builder.demo_model.dataset import Scene
from builder.demo_model.prompts import Said, write

DESCRIBED = 0.15  # chance of the wished-for parts as a plain prompt, "a blue star"
COMPARED = 0.4  # chance of "smaller" instead of "small"
COMPARATIVES = {"small": ("smaller",), "large": ("larger", "bigger")}


def instruct(said: Said, reference: Scene, random: Random) -> str:
    """Put into words what shall become of the reference; nothing said is the empty prompt."""
    if said == Said():
        return ""
    if random.random() < DESCRIBED:
        return write(said, random)
    thing = random.choice(("it", "it", "it", "the shape", f"the {reference.shape}"))
    parts = [part for part in (_object(said, thing, random), _ground(said, thing, random)) if part]
    text = random.choice((" and ", " and ", ", ")).join(parts)
    if random.random() < 0.3:
        text = text[0].upper() + text[1:]
    return text + random.choice(("", "", "", "."))


def _object(said: Said, thing: str, random: Random) -> str:
    """What shall become of the object, or nothing."""
    colour = _word(said.colour, language.COLOURS, random)
    size = _word(said.size, language.SIZES, random)
    if said.shape:
        phrase = " ".join(filter(None, (size, colour, _word(said.shape, language.SHAPES, random))))
        wish = f"{_article(phrase)} {phrase}"
        forms = [f"turn {thing} into {wish}"] * 3
        forms += [f"make {thing} {wish}", f"make {thing} into {wish}", f"change {thing} to {wish}"]
        forms += [f"change {thing} into {wish}", f"replace {thing} with {wish}"]
        if not colour and not size:
            forms.append(f"change the shape to {wish}")
    elif said.size:
        if random.random() < COMPARED:
            size = random.choice(COMPARATIVES[said.size])
        forms = [f"make {thing} {' and '.join(filter(None, (size, colour)))}"]
    elif said.colour:
        hue = random.choice(("colour", "color"))
        forms = [f"make {thing} {colour}"] * 4
        forms += [
            f"turn {thing} {colour}",
            f"paint {thing} {colour}",
            f"change {thing} to {colour}",
        ]
        forms += [f"change the {hue} to {colour}"] * 2
        forms += [f"change its {hue} to {colour}", f"change the {hue} of {thing} to {colour}"]
    else:
        return ""
    return random.choice(forms)


def _ground(said: Said, thing: str, random: Random) -> str:
    """What shall become of the background, or nothing."""
    if not said.background:
        return ""
    colour = _word(said.background, language.COLOURS, random)
    place = random.choice(("background", "background", "background", "backdrop"))
    wish = f"{_article(colour)} {colour} {place}"
    forms = [f"make the {place} {colour}"] * 3
    forms += [f"change the {place} to {colour}", f"turn the {place} {colour}"]
    forms += [f"put {thing} on {wish}", f"put {thing} on {wish}", f"on {wish}"]
    return random.choice(forms)


def _word(name: str | None, synonyms: dict[str, tuple[str, ...]], random: Random) -> str:
    if name is None:
        return ""
    return name if random.random() < 0.7 else random.choice(synonyms[name])


def _article(phrase: str) -> str:
    return "an" if phrase[0] in "aeiou" else "a"
