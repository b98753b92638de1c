"""Say of a picture what it shows, a moon too, and whether a frame runs along its border.

Like the demo model's judge it knows nothing of the training's pictures: a moon is told by its
overlap with a formula, a frame by a border of one colour that is not the background's.
"""

from dataclasses import dataclass

import numpy as np
from PIL import Image

from builder.demo_model.judge import FORMULAS, Floats, Formula, Mask, colour_name, look, share_near

BORDER = 0.035  # width in which a frame must be of one colour, as a share of the shorter side
INSIDE = 0.09  # how far from the border a frame must have ended
BORDER_PURITY = 0.9


@dataclass(frozen=True)
class LoraSight:
    """What the judge sees; the frame is the name of its colour, None where there is none."""

    background: str | None = None
    colour: str | None = None
    shape: str | None = None
    frame: str | None = None


def look_closely(image: Image.Image) -> LoraSight:
    """Look at a picture of one flat object on a flat background, with a frame or without."""
    inset = round(INSIDE * min(image.size))
    inner = look(image.crop((inset, inset, image.width - inset, image.height - inset)), _FORMULAS)
    border = _border_colour(image)
    if inner.background and border and border != inner.background:
        return LoraSight(inner.background, inner.colour, inner.shape, border)
    whole = look(image, _FORMULAS)
    return LoraSight(whole.background, whole.colour, whole.shape)


def _border_colour(image: Image.Image) -> str | None:
    pixels = np.asarray(image.convert("RGB"), np.float64)
    width = max(1, round(BORDER * min(image.size)))
    inner = np.zeros(pixels.shape[:2], bool)
    inner[width:-width, width:-width] = True
    border = pixels[~inner]
    colour = np.median(border, axis=0)
    return colour_name(colour) if share_near(border, colour) >= BORDER_PURITY else None


def _crescent(x: Floats, y: Floats) -> Mask:
    """A disc without another one, smaller, that reaches beyond its right side."""
    return np.asarray((x**2 + y**2 < 1) & ((x - 0.7) ** 2 + y**2 > 0.75**2))


_FORMULAS: dict[str, Formula] = {**FORMULAS, "moon": _crescent}
