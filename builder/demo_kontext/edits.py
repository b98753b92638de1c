"""Pairs to learn from: a picture, and the same after an edit.

Pictures come in families of eight: two shapes, two colours, and two backgrounds or two sizes, at
one place. Any two of a family are an edit, so that each picture, once encoded, serves in many.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from random import Random

import torch
from diffusers import AutoencoderKL
from diffusers.pipelines.flux.pipeline_flux_kontext import PREFERRED_KONTEXT_RESOLUTIONS
from torch import Tensor

from builder.demo_model import language
from builder.demo_model.dataset import MARGIN, OFFSET, OUTLINES, RADII, Scene, extent, sample_scene
from builder.demo_model.latents import TOKEN_SIDE, Size, draw_pixels, encode_pixels
from builder.demo_model.prompts import Said

RESIZED = 0.25  # share of families in two sizes instead of two backgrounds
CHANGES: dict[tuple[str, ...], float] = {  # share of the edits; "third" is background or size
    (): 0.06,
    ("colour",): 0.24,
    ("shape",): 0.24,
    ("third",): 0.20,
    ("shape", "colour"): 0.12,
    ("colour", "third"): 0.05,
    ("shape", "third"): 0.05,
    ("shape", "colour", "third"): 0.04,
}
NAMED_THOUGH_SAME = 0.15  # chance that the instruction names a part that stays as it is


@dataclass(frozen=True)
class Edit:
    """A picture, what is asked for, and the picture that comes of it."""

    reference: Scene
    said: Said
    result: Scene


@dataclass(frozen=True)
class Family:
    """What its scenes have in common, and the two values of what they haven't."""

    base: Scene
    shapes: tuple[str, str]
    colours: tuple[str, str]
    third: str
    thirds: tuple[str, str]

    def scene(self, shape: int, colour: int, third: int) -> Scene:
        """One of the eight, by which of the two values it has."""
        parts = {"shape": self.shapes[shape], "colour": self.colours[colour]}
        return alter(self.base, **parts, **{self.third: self.thirds[third]})


def alter(scene: Scene, **parts: str) -> Scene:
    """Change parts of a scene and leave it where it is, unless that were outside."""
    radius = scene.radius
    if (size := parts.get("size", scene.size)) != scene.size:
        (low, high), (new_low, new_high) = RADII[scene.size], RADII[size]
        radius = new_low + (radius - low) / (high - low) * (new_high - new_low)
    shape = parts.get("shape", scene.shape)
    room = max(0.0, min(OFFSET, 0.5 - MARGIN - radius * extent(OUTLINES[shape])))
    x, y = (min(max(at, 0.5 - room), 0.5 + room) for at in scene.centre)
    return replace(scene, radius=radius, centre=(x, y), **parts)


def sample_family(random: Random) -> Family:
    """Draw a family by lot; all its colours differ."""
    base = sample_scene(random)
    shape = random.choice([each for each in OUTLINES if each != base.shape])
    others = [each for each in language.COLOURS if each not in (base.colour, base.background)]
    colour, background = random.sample(others, 2)
    third, thirds = "background", (base.background, background)
    if random.random() < RESIZED:
        size = random.choice([each for each in language.SIZES if each != base.size])
        third, thirds = "size", (base.size, size)
    return Family(base, (base.shape, shape), (base.colour, colour), third, thirds)


def sample_edit(family: Family, random: Random) -> Edit:
    """Choose a picture of the family, what to change of it, and what else to name."""
    (changed,) = random.choices(list(CHANGES), weights=list(CHANGES.values()))
    before = {part: random.randrange(2) for part in ("shape", "colour", "third")}
    if family.third == "size" and "third" in changed:
        before["third"] = 0  # the second size is the one that there are words for
    after = {part: value ^ (part in changed) for part, value in before.items()}
    reference, result = family.scene(**before), family.scene(**after)
    named = {family.third if part == "third" else part for part in changed}
    if random.random() < NAMED_THOUGH_SAME:
        named.add(random.choice(("shape", "colour", "background")))
    return Edit(reference, Said(**{part: getattr(result, part) for part in named}), result)


def preferred(size: Size) -> Size:
    """The size that FluxKontextPipeline brings a reference of this shape to."""
    _, width, height = min(
        (abs(size.width / size.height - width / height), width, height)
        for width, height in PREFERRED_KONTEXT_RESOLUTIONS
    )
    return Size(height // TOKEN_SIDE * TOKEN_SIDE, width // TOKEN_SIDE * TOKEN_SIDE)


@dataclass
class Album:
    """Scenes as packed latents, each encoded when it is first asked for."""

    vae: AutoencoderKL
    kept: dict[tuple[Scene, Size], Tensor] = field(default_factory=dict)

    def latents(self, scenes: Iterable[Scene], size: Size) -> Tensor:
        """Packed latents (scenes, tokens, channels) of unit variance."""
        found = [self._latent(scene, size) for scene in scenes]
        return torch.stack(found).to(self.vae.device).float()

    @torch.no_grad()
    def _latent(self, scene: Scene, size: Size) -> Tensor:
        if (scene, size) not in self.kept:
            with torch.autocast(self.vae.device.type, torch.bfloat16):
                packed = encode_pixels(self.vae, draw_pixels([scene], size))
            self.kept[scene, size] = packed[0].to("cpu", torch.bfloat16)
        return self.kept[scene, size]
