"""What the LoRAs add to the demo model's scenes: a moon, and a frame of the object's colour."""

import math
from collections.abc import Callable
from dataclasses import replace
from random import Random

import numpy as np
from numpy.typing import NDArray

from builder.demo_model import dataset
from builder.demo_model.dataset import Outline, Scene, paint, sample_scene
from builder.demo_model.prompts import Said, sample_said

MOON = "moon"  # the shape's name and the word for it
MOONS = 0.6  # share of the moon's lessons; the rest keeps the other shapes as they are
FRAME = 1 / 16  # width, as a share of the shorter side: a token at 512 pixels
LARGEST_FRAMED = 0.3  # radius of what is clear of the frame; drawn smaller, shapes would suffer


def _moon() -> Outline:
    """A crescent open to the right: an arc of a circle, and back along another one."""
    half = math.radians(50)  # between the horizontal and the tips
    radius, away = 1.35, 0.95  # of the outer circle, and how far right the inner circle's centre is
    tip = radius * np.array([math.cos(half), math.sin(half)])
    inner, opening = math.hypot(tip[0] - away, tip[1]), math.atan2(tip[1], tip[0] - away)
    there = np.linspace(half, 2 * math.pi - half, 96)
    back = np.linspace(2 * math.pi - opening, opening, 96)[1:-1]
    outer_arc = radius * np.stack([np.cos(there), np.sin(there)], 1)
    inner_arc = inner * np.stack([np.cos(back), np.sin(back)], 1) + np.array([away, 0.0])
    crescent: Outline = np.concatenate([outer_arc, inner_arc]) + np.array([0.25, 0.0])
    return crescent


OUTLINES: dataset.Outlines = {**dataset.OUTLINES, MOON: (_moon(),)}


def sample_moon(random: Random) -> Scene:
    """Draw a moon by lot."""
    return sample_scene(random, {MOON: OUTLINES[MOON]})


def to_be_framed(sample: Callable[[Random], Scene]) -> Callable[[Random], Scene]:
    """Draw scenes by lot until one is small enough for a frame."""

    def small_enough(random: Random) -> Scene:
        while (scene := sample(random)).radius > LARGEST_FRAMED:
            pass
        return scene

    return small_enough


def sample_moon_among_others(random: Random) -> Scene:
    """Draw a moon or, less often, a shape that the demo model knows."""
    return sample_moon(random) if random.random() < MOONS else sample_scene(random)


def say_moon(scene: Scene, random: Random) -> Said:
    """Choose what a prompt tells; a moon is always named, or it would come unasked."""
    said = sample_said(scene, random)
    return replace(said, shape=MOON) if scene.shape == MOON else said


def draw_filled(scene: Scene, height: int, width: int) -> NDArray[np.uint8]:
    """Draw the scene, a moon too, as RGB bytes (height, width, 3)."""
    return dataset.draw(scene, height, width, OUTLINES)


def draw_framed(scene: Scene, height: int, width: int) -> NDArray[np.uint8]:
    """Draw the scene within a frame of the object's colour along the border, as RGB bytes."""
    coverage = dataset.draw_mask(scene, height, width, OUTLINES).copy()
    band = round(FRAME * min(height, width))
    inside = np.zeros(coverage.shape, bool)
    inside[band:-band, band:-band] = True
    coverage[~inside] = 1.0
    return paint(scene, coverage)
