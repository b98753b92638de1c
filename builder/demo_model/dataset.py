"""Scenes of one flat object on a flat background, drawn at any size.

Everything is relative to the image: the radius to its shorter side, the centre to both sides, so a
scene looks the same at every size and only its shape on paper changes with the aspect ratio.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from random import Random

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from builder.demo_model import language

PALETTE: dict[str, tuple[int, int, int]] = {
    "red": (220, 40, 40),
    "orange": (245, 140, 30),
    "yellow": (250, 222, 60),
    "green": (40, 160, 70),
    "cyan": (70, 205, 225),
    "blue": (40, 80, 210),
    "purple": (130, 55, 175),
    "pink": (245, 150, 190),
    "white": (245, 245, 245),
    "black": (25, 25, 30),
}

# Narrow bands: where an object lies is decided at the highest noise, and the fewer choices there
# are, the earlier a small transformer draws one right shape instead of parts of several.
RADII = {"small": (0.18, 0.19), "medium": (0.27, 0.29), "large": (0.34, 0.36)}
OFFSET = 0.03  # farthest centre from the middle, as a share of each side
MARGIN = 0.03  # nearest an object comes to the border, as a share of the shorter side
OVERSAMPLING = 4  # subpixels a side, which smooths the edges

Outline = NDArray[np.float64]
Outlines = Mapping[str, tuple[Outline, ...]]


@dataclass(frozen=True)
class Scene:
    """One picture: names of colours and of an outline, centre in shares of both sides, radius of
    the shorter.
    """

    shape: str
    colour: str
    background: str
    size: str
    centre: tuple[float, float]
    radius: float


def sample_scene(random: Random, outlines: Outlines | None = None) -> Scene:
    """Draw a scene by lot; every combination of shape and two different colours is as likely."""
    outlines = outlines or OUTLINES
    colour, background = random.sample(list(language.COLOURS), 2)
    shape = random.choice(list(outlines))
    (size,) = random.choices(list(RADII), weights=(15, 70, 15))
    radius = random.uniform(*RADII[size])
    room = max(0.0, min(OFFSET, 0.5 - MARGIN - radius * extent(outlines[shape])))
    centre = (0.5 + random.uniform(-room, room), 0.5 + random.uniform(-room, room))
    return Scene(shape, colour, background, size, centre, radius)


def draw(
    scene: Scene, height: int, width: int, outlines: Outlines | None = None
) -> NDArray[np.uint8]:
    """Draw the scene as RGB bytes (height, width, 3)."""
    return paint(scene, draw_mask(scene, height, width, outlines))


def paint(scene: Scene, coverage: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Fill what is covered, (height, width), with the object's colour, the rest with the other."""
    inside, outside = (
        np.array(PALETTE[name], np.float32) for name in (scene.colour, scene.background)
    )
    return (outside + (inside - outside) * coverage[..., None] + 0.5).astype(np.uint8)


def draw_mask(
    scene: Scene, height: int, width: int, outlines: Outlines | None = None
) -> NDArray[np.float32]:
    """How much of each pixel (height, width) the object covers, 0…1."""
    canvas = Image.new("L", (width * OVERSAMPLING, height * OVERSAMPLING))
    pen = ImageDraw.Draw(canvas)
    radius = scene.radius * min(height, width) * OVERSAMPLING
    centre = np.array(scene.centre) * canvas.size
    for ink, outline in zip((255, 0), (outlines or OUTLINES)[scene.shape], strict=False):
        pen.polygon([tuple(point) for point in (centre + radius * outline).tolist()], fill=ink)
    return np.asarray(canvas.reduce(OVERSAMPLING), np.float32) / np.float32(255)


def _polar(radii: list[float], first_angle: float) -> Outline:
    """Points at equal angles around the origin, the first at `first_angle`, y downward."""
    angles = first_angle + 2 * math.pi * np.arange(len(radii)) / len(radii)
    return np.asarray(np.stack([np.cos(angles), np.sin(angles)], 1) * np.array(radii)[:, None])


def _circle(radius: float) -> Outline:
    return _polar([radius] * 128, 0.0)


def _heart() -> Outline:
    turn = np.linspace(0, 2 * math.pi, 128, endpoint=False)
    across = 16 * np.sin(turn) ** 3
    up = 13 * np.cos(turn) - 5 * np.cos(2 * turn) - 2 * np.cos(3 * turn) - np.cos(4 * turn)
    return np.stack([across, -up - 2.5], 1) / 14


def _cross(reach: float, half: float) -> Outline:
    corner = [(half, -reach), (half, -half), (reach, -half)]
    quarter = np.array([[0, -1], [1, 0]])
    turns = [np.linalg.matrix_power(quarter, turn) for turn in range(4)]
    return np.concatenate([np.array(corner) @ turn.T for turn in turns])


UP = -math.pi / 2
# The outline of each shape at radius 1, of about equal areas; a second outline is a hole.
OUTLINES: Outlines = {
    "circle": (_circle(1.0),),
    "square": (_polar([1.27] * 4, math.pi / 4),),
    "triangle": (_polar([1.3] * 3, UP) + np.array([0.0, 0.2]),),
    "star": (_polar([1.3, 0.55] * 5, UP),),
    "ring": (_circle(1.1), _circle(0.55)),
    "cross": (_cross(1.12, 0.4),),
    "heart": (_heart(),),
}


def extent(outlines: tuple[Outline, ...]) -> float:
    """How far the shape reaches from its centre along an axis, in radii."""
    return float(np.abs(outlines[0]).max())
