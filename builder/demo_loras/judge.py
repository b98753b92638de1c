"""Say of a picture which shape it shows, a moon too, and whether it is outlined or filled.

Like the demo model's judge it knows nothing of the training's outlines: a shape is told by its
overlap with a formula, an outlined one by a line that is thin everywhere and encloses background.
"""

from dataclasses import dataclass

import numpy as np
from PIL import Image

from builder.demo_model.judge import (
    FORMULAS,
    OVERLAP,
    Floats,
    Formula,
    Mask,
    best_match,
    filled,
    largest_piece,
    look,
    overlap,
    paint_name,
    part,
)

LINE = 0.1  # width up to which a stroke is a line, as a share of the shorter side
LINE_PURITY = 0.6  # share of a line that must have its colour; much of it is a blurred edge
THICK = 0.05  # share of an outlined object's stroke that may be wider, in its corners
ENCLOSED = 0.2  # least share of an outlined object that is background
ONE_OBJECT = 0.9  # share of all that is not background or enclosed which the one object must hold
RING_HOLE = (0.1, 0.6)  # share of a ring's area that its hole takes


@dataclass(frozen=True)
class LoraSight:
    """What the judge sees."""

    background: str | None = None
    colour: str | None = None
    shape: str | None = None
    outlined: bool = False


def look_closely(image: Image.Image) -> LoraSight:
    """Look at a picture of one filled or outlined object on a flat background."""
    parted = part(image)
    if parted is None:
        return LoraSight()
    stroke = parted.mask
    everything = filled(stroke)
    whole = largest_piece(everything)
    if not stroke.any() or whole.sum() < ONE_OBJECT * everything.sum():
        return LoraSight(parted.background)
    stroke = stroke & whole
    if _is_line(stroke, whole):
        colour = paint_name(parted.pixels[stroke], LINE_PURITY)
        return LoraSight(parted.background, colour, _outlined_shape(stroke, whole), outlined=True)
    sight = look(image)
    is_moon = _best(whole) == "moon" and (whole & ~stroke).sum() < 0.05 * whole.sum()
    return LoraSight(sight.background, sight.colour, "moon" if is_moon else sight.shape)


def _is_line(stroke: Mask, whole: Mask) -> bool:
    """Whether the stroke encloses background and is thin nearly everywhere."""
    reach = round(LINE * min(stroke.shape) / 2)
    thick = _grown(_shrunk(stroke, reach), reach)
    encloses = (whole & ~stroke).sum() > ENCLOSED * whole.sum()
    return bool(encloses and (thick & stroke).sum() <= THICK * stroke.sum())


def _outlined_shape(stroke: Mask, whole: Mask) -> str | None:
    """The shape that the outermost line encloses; a circle within a circle is a ring."""
    shape = _best(whole)
    inner = stroke & ~largest_piece(stroke)
    if not inner.any():
        return shape
    hole = filled(largest_piece(inner))
    low, high = RING_HOLE
    is_hole = low < hole.sum() / whole.sum() < high and inner.sum() < 1.1 * (inner & hole).sum()
    is_ring = shape == "circle" and is_hole and overlap(hole, FORMULAS["circle"]) >= OVERLAP
    return "ring" if is_ring else None


def _best(whole: Mask) -> str | None:
    return best_match(whole, _ALL_FORMULAS)


def _shrunk(mask: Mask, reach: int) -> Mask:
    """What is farther than `reach` pixels from everything outside the mask."""
    return ~_grown(~mask, reach)


def _grown(mask: Mask, reach: int) -> Mask:
    """What is within `reach` pixels of the mask, in all directions."""
    grown = mask.copy()
    for across in range(-reach, reach + 1):
        for down in range(-reach, reach + 1):
            if across**2 + down**2 <= reach**2:
                grown |= _moved(mask, down, across)
    return grown


def _moved(mask: Mask, down: int, across: int) -> Mask:
    height, width = mask.shape
    moved = np.zeros_like(mask)
    moved[max(0, down) : height + min(0, down), max(0, across) : width + min(0, across)] = mask[
        max(0, -down) : height + min(0, -down), max(0, -across) : width + min(0, -across)
    ]
    return moved


def _crescent(x: Floats, y: Floats) -> Mask:
    """A disc without another one, smaller, that reaches beyond its right side."""
    return np.asarray((x**2 + y**2 < 1) & ((x - 0.7) ** 2 + y**2 > 0.7**2))


_ALL_FORMULAS: dict[str, Formula] = {**FORMULAS, "moon": _crescent}
