"""The words that the demo model knows.

Its tokenizers are trained on them, so that each is one token; any other text falls back to pieces
and single letters, as in FLUX's own tokenizers.
"""

SIZES: dict[str, tuple[str, ...]] = {
    "small": ("small", "little", "tiny"),
    "large": ("large", "big", "huge"),
}

COLOURS: dict[str, tuple[str, ...]] = {
    "red": ("red", "scarlet", "crimson"),
    "orange": ("orange",),
    "yellow": ("yellow", "golden"),
    "green": ("green", "emerald"),
    "cyan": ("cyan", "turquoise"),
    "blue": ("blue", "navy"),
    "purple": ("purple", "violet"),
    "pink": ("pink", "rose"),
    "white": ("white",),
    "black": ("black",),
}

SHAPES: dict[str, tuple[str, ...]] = {
    "circle": ("circle", "disc", "ball"),
    "square": ("square", "box"),
    "triangle": ("triangle", "pyramid"),
    "star": ("star",),
    "ring": ("ring", "donut"),
    "cross": ("cross", "plus"),
    "heart": ("heart",),
}

FILLERS = (
    *("a", "an", "the", "on", "in", "of", "with", "and", "background", "backdrop", "shape"),
    *("picture", "image", "drawing"),
)


def words() -> list[str]:
    """Return every known word, each once, in a fixed order."""
    groups = (*SIZES.values(), *COLOURS.values(), *SHAPES.values(), FILLERS)
    return list(dict.fromkeys(word for group in groups for word in group))
