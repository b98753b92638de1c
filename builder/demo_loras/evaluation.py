"""Measure what the LoRAs do to the demo model, alone and together, by what the judge sees.

Prompts and seeds are those of the demo model's evaluation; the weights are merged in float32.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
from diffusers import FluxPipeline
from PIL import Image

from builder.demo_loras.adapter import Pairs, applied
from builder.demo_loras.judge import look_closely
from builder.demo_loras.scenes import MOON
from builder.demo_model.evaluation import Setting, Wish, grid, pictures

FEW_STEPS = 4


@dataclass(frozen=True)
class Case:
    """What is asked for, and the scales of both LoRAs."""

    moons: bool
    moon: float = 0.0
    frame: float = 0.0
    steps: int = 28
    unwanted: str | None = None  # colour of the negative prompt, while the prompt names none

    def __str__(self) -> str:
        scales = {"moon": self.moon, "frame": self.frame}
        at_work = [f"{name} {scale:g}" for name, scale in scales.items() if scale]
        asked = "moons" if self.moons else "the seven shapes"
        unwanted = f", not {self.unwanted}" if self.unwanted else ""
        return f"{' + '.join(at_work) or 'none'} | {asked}{unwanted} | {self.steps}"

    def wishes(self, count: int) -> list[Wish]:
        """The first `count` wishes, in all colours."""
        return [replace(wish, shape=MOON) if self.moons else wish for wish in grid(count)]

    def prompt(self, wish: Wish) -> str:
        """Put a wish into words."""
        if self.unwanted is None:
            return wish.prompt
        return f"a {wish.shape} on a {wish.background} background"


CASES = (
    Case(moons=True),
    Case(moons=False),
    Case(moons=True, moon=1),
    Case(moons=True, moon=1, steps=FEW_STEPS),
    Case(moons=False, moon=1),
    Case(moons=False, frame=1),
    Case(moons=False, frame=1, steps=FEW_STEPS),
    Case(moons=True, moon=1, frame=1),
    Case(moons=True, moon=1, frame=1, steps=FEW_STEPS),
    Case(moons=False, moon=1, frame=1),
    Case(moons=True, moon=0.5),
    Case(moons=False, frame=0.5),
    Case(moons=True, moon=-1),
    Case(moons=False, frame=-1),
    Case(moons=True, moon=1, unwanted="red"),
    Case(moons=True, moon=1, frame=1, unwanted="red"),
)


def report(pipeline: FluxPipeline, moon: Pairs, frame: Pairs, images: int) -> Iterator[str]:
    """Score every case, a line of Markdown each.

    The last column is how far a pixel is, on the mean, from the same one without LoRAs, 0…255.
    """
    pipeline.set_progress_bar_config(disable=True)
    yield "| LoRAs | Asked for | Steps | Shape | Moon | Framed | Colour | Background | Change |"
    yield "|---|---|---:|---:|---:|---:|---:|---:|---:|"
    plain: dict[Case, list[Image.Image]] = {}
    for case in CASES:
        without = replace(case, moon=0.0, frame=0.0)
        if without not in plain:
            plain[without] = draw(pipeline, without, moon, frame, images)
        seen = draw(pipeline, case, moon, frame, images) if case != without else plain[without]
        yield f"| {case} | {_scores(case, seen)} | {_change(seen, plain[without]):.0f} |"


def draw(
    pipeline: FluxPipeline, case: Case, moon: Pairs, frame: Pairs, images: int
) -> list[Image.Image]:
    """Draw the first wishes of a case, each by a seed of its own."""
    prompts = [case.prompt(wish) for wish in case.wishes(images)]
    negatives = [case.unwanted] * images if case.unwanted else None
    setting = Setting(512, 512, 3.5, case.steps, images)
    adapters = [(pairs, scale) for pairs, scale in ((moon, case.moon), (frame, case.frame))]
    with applied(pipeline.transformer, adapters):
        return list(pictures(pipeline, prompts, setting, negatives))


def _scores(case: Case, drawn: Sequence[Image.Image]) -> str:
    sights = [look_closely(picture) for picture in drawn]
    pairs = list(zip(case.wishes(len(sights)), sights, strict=True))
    columns = (
        [wish.shape == sight.shape for wish, sight in pairs],
        [sight.shape == MOON for sight in sights],
        [sight.frame is not None and sight.frame == sight.colour for sight in sights],
        [
            sight.colour not in (None, case.unwanted)
            if case.unwanted
            else sight.colour == wish.colour
            for wish, sight in pairs
        ],
        [wish.background == sight.background for wish, sight in pairs],
    )
    return " | ".join(f"{sum(hits) / len(hits):.1%}" for hits in columns)


def _change(drawn: Sequence[Image.Image], before: Sequence[Image.Image]) -> float:
    pairs = zip(drawn, before, strict=True)
    differences = [np.abs(np.asarray(a, float) - np.asarray(b, float)).mean() for a, b in pairs]
    return float(np.mean(differences))
