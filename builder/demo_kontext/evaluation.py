"""Measure how well the model edits, by what the judge sees in its pictures.

The references are the scenes of the demo model's own grid, the instructions in free wording, the
seeds from FIRST_SEED on. A result is held against a drawing of what was asked for.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from random import Random

from diffusers import FluxKontextPipeline
from PIL import Image
from torch import Generator
from tqdm import tqdm

from builder.demo_kontext.edits import Edit, alter
from builder.demo_kontext.instructions import instruct
from builder.demo_model import language
from builder.demo_model.architecture import T5_TOKENS
from builder.demo_model.dataset import Scene, draw, sample_scene
from builder.demo_model.evaluation import FIRST_SEED, Setting, grid
from builder.demo_model.judge import Sight, look
from builder.demo_model.latents import Size
from builder.demo_model.prompts import Said

REFERENCE = Size(1024, 1024)
MOVED = 0.03  # of a side: the farthest that an object's centre may be off
GROWN = 1.2  # the factor that its area may be off by
KINDS: dict[str, tuple[str, ...]] = {
    "Colour": ("colour",),
    "Shape": ("shape",),
    "Background": ("background",),
    "Shape and colour": ("shape", "colour"),
}
SETTINGS = (
    Setting(1024, 1024, 2.0, images=30),
    Setting(512, 512, 2.0, images=60),
)


@dataclass(frozen=True)
class Score:
    """Shares of results in which what was named came out right, all else was kept, and both."""

    named: float
    kept: float
    both: float

    def __str__(self) -> str:
        return f"{self.named:.1%} | {self.kept:.1%} | {self.both:.1%}"


def edits(parts: tuple[str, ...], count: int) -> list[Edit]:
    """The first `count` edits that change these parts."""
    return [_edit(parts, index) for index in range(count)]


def evaluate(pipeline: FluxKontextPipeline, parts: tuple[str, ...], setting: Setting) -> Score:
    """Score one kind of edits at one setting."""
    named, kept = [], []
    for index, edit in enumerate(tqdm(edits(parts, setting.images), str(setting), leave=False)):
        text = instruct(edit.said, edit.reference, Random(FIRST_SEED + index))
        sight = look(picture(pipeline, edit.reference, text, setting, FIRST_SEED + index))
        right = marks(sight, look(drawn(edit.result, Size(setting.height, setting.width))))
        named.append(all(right[part] for part in parts))
        kept.append(all(mark for part, mark in right.items() if part not in parts))
    both = [one and other for one, other in zip(named, kept, strict=True)]
    return Score(*(sum(hits) / len(hits) for hits in (named, kept, both)))


def marks(seen: Sight, expected: Sight) -> Mapping[str, bool]:
    """Which parts of a picture are as expected."""
    near = seen.centre is not None and expected.centre is not None
    if seen.centre and expected.centre:
        offsets = (abs(x - y) for x, y in zip(seen.centre, expected.centre, strict=True))
        near = max(offsets) < MOVED
    return {
        "shape": seen.shape == expected.shape,
        "colour": seen.colour == expected.colour,
        "background": seen.background == expected.background,
        "place": near,
        "size": expected.area / GROWN < seen.area < expected.area * GROWN,
    }


def picture(
    pipeline: FluxKontextPipeline, reference: Scene, text: str, setting: Setting, seed: int
) -> Image.Image:
    """Edit a drawing of the reference."""
    image: Image.Image = pipeline(
        image=drawn(reference, REFERENCE),
        prompt=text,
        height=setting.height,
        width=setting.width,
        max_area=setting.height * setting.width,
        guidance_scale=setting.guidance,
        num_inference_steps=setting.steps,
        max_sequence_length=T5_TOKENS,
        generator=Generator("cpu").manual_seed(seed),
    ).images[0]
    return image


def drawn(scene: Scene, size: Size) -> Image.Image:
    """Draw a scene as an image."""
    return Image.fromarray(draw(scene, size.height, size.width))


def report(pipeline: FluxKontextPipeline, share: float = 1.0) -> Iterator[str]:
    """Score every kind at every setting, on a share of the images, a line of Markdown each."""
    pipeline.set_progress_bar_config(disable=True)
    yield "| Setting | Edit | Named parts right | All else kept | Both | Images |"
    yield "|---|---|---:|---:|---:|---:|"
    for setting in SETTINGS:
        images = max(1, round(setting.images * share))
        some = Setting(setting.height, setting.width, setting.guidance, setting.steps, images)
        for kind, parts in KINDS.items():
            yield f"| {some} | {kind} | {evaluate(pipeline, parts, some)} | {images} |"


def _edit(parts: tuple[str, ...], index: int) -> Edit:
    random = Random(FIRST_SEED + index)
    wish = grid(index + 1)[index]
    scene = alter(sample_scene(random), shape=wish.shape, size="medium")
    reference = alter(scene, colour=wish.colour, background=wish.background)
    colours = [each for each in language.COLOURS if each not in (wish.colour, wish.background)]
    colour, background = random.sample(colours, 2)
    shape = random.choice([each for each in language.SHAPES if each != wish.shape])
    wanted = {"shape": shape, "colour": colour, "background": background}
    changed = {part: wanted[part] for part in parts}
    return Edit(reference, Said(**changed), alter(reference, **changed))
