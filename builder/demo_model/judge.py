"""Say what a picture shows, by the colour and geometry of its pixels alone.

The judge knows neither the training's palette nor its outlines: colours are named by hue,
saturation and value, shapes by their overlap with formulas of its own. What it can't tell is None.
"""

import colorsys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray
from PIL import Image

Mask = NDArray[np.bool_]
Floats = NDArray[np.float64]
Formula = Callable[[Floats, Floats], Mask]  # of x to the right and y up

SHORT_SIDE = 192  # pixels a picture is reduced to
FRAME = 0.02  # share of the short side at each border that counts as background
FRAME_PURITY = 0.9  # share of the frame that must be near its median colour
NEAR = 45.0  # RGB distance within which two colours are the same
OBJECT_PURITY = 0.8
ONE_OBJECT = 0.9  # share of all that is not background which the one object must hold
OBJECT_AREA = (0.02, 0.6)  # share of the picture
HOLE = 0.05  # share of the object's area
OVERLAP = 0.8  # intersection over union from which a shape is recognised
GRID = 96  # points a side on which overlaps are counted
REACH = 2.2  # half the grid's side, where a circle of the object's area has radius 1


@dataclass(frozen=True)
class Sight:
    """What the judge sees."""

    background: str | None = None
    colour: str | None = None
    shape: str | None = None
    area: float = 0.0  # share of the picture
    centre: tuple[float, float] | None = None  # x and y, in shares of the sides


def look(image: Image.Image, formulas: Mapping[str, Formula] | None = None) -> Sight:
    """Look at a picture of one flat object on a flat background, by other formulas if given."""
    factor = max(1, min(image.size) // SHORT_SIDE)
    pixels = np.asarray(image.convert("RGB").reduce(factor), np.float64)
    frame = _frame(pixels)
    ground = np.median(frame, axis=0)
    if share_near(frame, ground) < FRAME_PURITY:
        return Sight()
    background = colour_name(ground)
    mask = _object_mask(pixels, ground)
    area = float(mask.mean())
    body = _largest_piece(mask)
    if not OBJECT_AREA[0] < area < OBJECT_AREA[1] or body.sum() < ONE_OBJECT * mask.sum():
        return Sight(background, area=area)
    paint = np.median(pixels[body], axis=0)
    colour = colour_name(paint) if share_near(pixels[body], paint) > OBJECT_PURITY else None
    rows, columns = np.nonzero(body)
    centre = (float(columns.mean()) / mask.shape[1], float(rows.mean()) / mask.shape[0])
    return Sight(background, colour, _shape_name(body, formulas or FORMULAS), area, centre)


def colour_name(rgb: Floats) -> str | None:
    """Name an RGB colour of 0…255; greys between black and white have none."""
    hue, saturation, value = colorsys.rgb_to_hsv(*(rgb / 255).tolist())
    if value < 0.3:
        return "black"
    if saturation < 0.15:
        return "white" if value > 0.8 else None
    degrees = 360 * hue
    if (degrees >= 300 or degrees < 14) and saturation < 0.6 and value > 0.7:
        return "pink"
    limits = {14: "red", 41: "orange", 70: "yellow", 165: "green", 205: "cyan", 255: "blue"}
    limits |= {310: "purple", 340: "pink", 361: "red"}
    return next(name for limit, name in limits.items() if degrees < limit)


def _frame(pixels: Floats) -> Floats:
    width = max(1, round(FRAME * min(pixels.shape[:2])))
    inner = np.zeros(pixels.shape[:2], bool)
    inner[width:-width, width:-width] = True
    return np.asarray(pixels[~inner])


def share_near(colours: Floats, centre: Floats) -> float:
    """Share of the colours (…, 3) that are the same as the centre, or nearly."""
    return float((np.linalg.norm(colours - centre, axis=-1) < NEAR).mean())


def _object_mask(pixels: Floats, ground: Floats) -> Mask:
    """What is nearer to the object's colour than to the background's."""
    away = np.linalg.norm(pixels - ground, axis=-1)
    if not (away > NEAR).any():
        return np.zeros(away.shape, bool)
    return np.asarray(away > max(NEAR, 0.5 * float(np.median(away[away > NEAR]))))


def _largest_piece(mask: Mask) -> Mask:
    """The largest set of pixels that hang together by their sides."""
    labels = np.where(mask, np.arange(1, mask.size + 1).reshape(mask.shape), 0)
    while True:
        spread = np.pad(labels, 1)
        neighbours = (spread[:-2, 1:-1], spread[2:, 1:-1], spread[1:-1, :-2], spread[1:-1, 2:])
        grown = np.where(mask, np.maximum.reduce((labels, *neighbours)), 0)
        # A label is a pixel's number: taking that pixel's own label leaps instead of creeping.
        grown = np.append(0, grown)[grown]
        if (grown == labels).all():
            break
        labels = grown
    sizes = np.bincount(labels.ravel())
    sizes[0] = 0
    return np.asarray((labels == sizes.argmax()) & mask)


def _shape_name(body: Mask, formulas: Mapping[str, Formula]) -> str | None:
    outside = _largest_piece(np.pad(~body, 1, constant_values=True))[1:-1, 1:-1]
    if (~body & ~outside).sum() > HOLE * body.sum():
        return "ring" if _overlap(~outside, FORMULAS["circle"]) >= OVERLAP else None
    scores = {name: _overlap(body, formula) for name, formula in formulas.items()}
    best = max(scores, key=lambda name: scores[name])
    return best if scores[best] >= OVERLAP else None


def _overlap(body: Mask, formula: Formula) -> float:
    seen, expected = _normalised(body), _template(formula)
    return float((seen & expected).sum() / (seen | expected).sum())


@cache
def _template(formula: Formula) -> Mask:
    x, y = np.meshgrid(np.linspace(-2, 2, 400), np.linspace(-2, 2, 400))
    return _normalised(formula(x, -y))


def _normalised(body: Mask) -> Mask:
    """Sample the mask about its centroid, scaled to the area of a circle of radius 1."""
    rows, columns = np.nonzero(body)
    unit = np.sqrt(len(rows) / np.pi)
    steps = np.linspace(-REACH, REACH, GRID) * unit
    y = np.rint(rows.mean() + steps).astype(int)[:, None]
    x = np.rint(columns.mean() + steps).astype(int)[None, :]
    inside = (y >= 0) & (y < body.shape[0]) & (x >= 0) & (x < body.shape[1])
    return np.asarray(inside & body[y.clip(0, body.shape[0] - 1), x.clip(0, body.shape[1] - 1)])


def _star(x: Floats, y: Floats) -> Mask:
    """A pentagram: inside at least four of the five half-planes that its lines bound."""
    angles = np.pi / 2 + 2 * np.pi * np.arange(5) / 5
    sides = [x * np.cos(angle) + y * np.sin(angle) < 0.45 for angle in angles]
    return np.asarray(np.sum(sides, axis=0) >= 4)


FORMULAS: dict[str, Formula] = {
    "circle": lambda x, y: x**2 + y**2 < 1,
    "square": lambda x, y: np.maximum(abs(x), abs(y)) < 1,
    "triangle": lambda x, y: (y > -0.5) & (y + np.sqrt(3) * abs(x) < 1),
    "star": _star,
    "cross": lambda x, y: (np.minimum(abs(x), abs(y)) < 0.36) & (np.maximum(abs(x), abs(y)) < 1),
    "heart": lambda x, y: (x**2 + (1.1 * y) ** 2 - 1) ** 3 < x**2 * (1.1 * y) ** 3,
}
