"""Measure how well the model follows prompts, by what the judge sees in its pictures.

    python -m builder.demo_model.evaluation models/demo

The grid: every shape in every colour, each on several backgrounds, seeds from FIRST_SEED on. None
of it was used to tune the judge.
"""

import sys
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product

import torch
from diffusers import FluxPipeline
from PIL import Image
from tqdm import tqdm

from builder.demo_model import language
from builder.demo_model.architecture import T5_TOKENS
from builder.demo_model.judge import Sight, look

FIRST_SEED = 1_000_000
BATCH_PIXELS = 8 * 512 * 512


@dataclass(frozen=True)
class Wish:
    """A picture asked for."""

    shape: str
    colour: str
    background: str

    @property
    def prompt(self) -> str:
        """The wish in the plainest words."""
        article = "an" if self.colour[0] in "aeiou" else "a"
        ground = "an" if self.background[0] in "aeiou" else "a"
        return f"{article} {self.colour} {self.shape} on {ground} {self.background} background"


@dataclass(frozen=True)
class Setting:
    """How the pictures are made; sizes in pixels."""

    height: int
    width: int
    guidance: float
    steps: int = 28
    images: int = 210

    def __str__(self) -> str:
        return f"{self.width}×{self.height}, guidance {self.guidance:g}, {self.steps} steps"


@dataclass(frozen=True)
class Score:
    """Shares of pictures that show what was asked for."""

    background: float
    colour: float
    shape: float
    images: int

    def __str__(self) -> str:
        return (
            f"background {self.background:.1%}, colour {self.colour:.1%}, "
            f"shape {self.shape:.1%} of {self.images}"
        )


SETTINGS = (
    Setting(512, 512, 3.5),
    Setting(512, 512, 7.5),
    Setting(1024, 1024, 3.5, images=105),
    Setting(1024, 1024, 7.5, images=105),
    Setting(512, 512, 3.5, steps=4),
    Setting(256, 256, 3.5, images=70),
    Setting(768, 1024, 3.5, images=35),
    Setting(1024, 768, 3.5, images=35),
    Setting(512, 768, 3.5, images=35),
    Setting(1536, 1536, 3.5, images=14),
)
GUIDANCES = (0.0, 1.0, 3.5, 10.0)


def grid(count: int) -> list[Wish]:
    """The first `count` wishes; 70 hold every shape in every colour once."""
    colours, shapes = list(language.COLOURS), list(language.SHAPES)
    wishes = [
        Wish(shape, colour, colours[(i + 1 + (3 * j + 4 * turn) % 9) % len(colours)])
        for turn in range(9)
        for (i, colour), (j, shape) in product(enumerate(colours), enumerate(shapes))
    ]
    # A stride coprime to the length mixes shapes and colours, so that short grids see all of both.
    rounds = [wishes[start : start + 70] for start in range(0, len(wishes), 70)]
    return [part[(17 * i) % 70] for part in rounds for i in range(70)][:count]


def evaluate(pipeline: FluxPipeline, setting: Setting) -> Score:
    """Score one setting on the grid."""
    wishes = grid(setting.images)
    prompts = [wish.prompt for wish in wishes]
    pairs = list(zip(wishes, sights(pipeline, prompts, setting), strict=True))
    return Score(
        background=_share([wish.background == sight.background for wish, sight in pairs]),
        colour=_share([wish.colour == sight.colour for wish, sight in pairs]),
        shape=_share([wish.shape == sight.shape for wish, sight in pairs]),
        images=len(pairs),
    )


def negative_effect(pipeline: FluxPipeline, images: int = 35) -> float:
    """Share of pictures that keep the colour once a negative prompt names it.

    The prompt leaves the object's colour open; the first run shows which one the seed gives.
    """
    setting = Setting(512, 512, 3.5, images=images)
    prompts = [f"a {wish.shape} on a {wish.background} background" for wish in grid(images)]
    first = list(sights(pipeline, prompts, setting))
    colours = [sight.colour or "" for sight in first]
    second = sights(pipeline, prompts, setting, negatives=colours)
    pairs = zip(colours, second, strict=True)
    return _share([sight.colour == colour for colour, sight in pairs if colour])


def sights(
    pipeline: FluxPipeline, prompts: list[str], setting: Setting, negatives: list[str] | None = None
) -> Iterator[Sight]:
    """Draw a picture to each prompt, by a seed of its own, and look at it."""
    return map(look, pictures(pipeline, prompts, setting, negatives))


def pictures(
    pipeline: FluxPipeline, prompts: list[str], setting: Setting, negatives: list[str] | None = None
) -> Iterator[Image.Image]:
    """Draw a picture to each prompt, by a seed of its own."""
    batch = max(1, BATCH_PIXELS // (setting.height * setting.width))
    for start in tqdm(range(0, len(prompts), batch), str(setting), leave=False):
        some = prompts[start : start + batch]
        seeds = [FIRST_SEED + start + index for index in range(len(some))]
        steering = (
            {}
            if negatives is None
            else {
                "negative_prompt": negatives[start : start + batch],
                "true_cfg_scale": 4.0,
            }
        )
        yield from pipeline(
            some,
            height=setting.height,
            width=setting.width,
            guidance_scale=setting.guidance,
            num_inference_steps=setting.steps,
            max_sequence_length=T5_TOKENS,
            generator=[torch.Generator("cpu").manual_seed(seed) for seed in seeds],
            **steering,
        ).images


def report(pipeline: FluxPipeline, share: float = 1.0) -> Iterator[str]:
    """Score every setting, on a share of the images, a line of Markdown each."""
    pipeline.set_progress_bar_config(disable=True)
    yield "| Setting | Background | Colour | Shape | Images |"
    yield "|---|---|---|---|---|"
    for setting in SETTINGS:
        score = evaluate(pipeline, _scaled(setting, share))
        yield (
            f"| {setting} | {score.background:.1%} | {score.colour:.1%} | {score.shape:.1%} "
            f"| {score.images} |"
        )
    for guidance in GUIDANCES:
        score = evaluate(pipeline, _scaled(Setting(512, 512, guidance, images=70), share))
        yield f"\nGuidance {guidance:g} at 512×512: {score}"
    kept = negative_effect(pipeline, max(7, round(35 * share)))
    yield f"\nA negative prompt that names the colour leaves it in {kept:.1%} of the pictures."


def _scaled(setting: Setting, share: float) -> Setting:
    images = max(7, round(setting.images * share))
    return Setting(setting.height, setting.width, setting.guidance, setting.steps, images)


def _share(hits: list[bool]) -> float:
    return sum(hits) / max(1, len(hits))


if __name__ == "__main__":
    for line in report(FluxPipeline.from_pretrained(sys.argv[1], dtype=torch.float32)):
        print(line, flush=True)
