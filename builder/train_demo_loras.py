"""Train the demo model's two LoRAs, and print what they do, alone and together.

    python -m builder.train_demo_loras --out models/loras --checkpoints build/demo_loras

The frame is learnt with the moon at work for a part of its lessons, so that both go together.
Training goes on from its checkpoints when the command is run again with --resume.
"""

import argparse
import shutil
from pathlib import Path

import torch
from diffusers import FluxPipeline

from builder.demo_loras import evaluation, scenes
from builder.demo_loras.adapter import IMAGE_LAYERS, LAYERS, Adapter, Pairs, adapted_shapes
from builder.demo_loras.export import BUDGET, export, load
from builder.demo_loras.training import Lesson, train
from builder.demo_model.dataset import sample_scene
from builder.demo_model.stage import Deadline, Stage

SEED = 0
RANK = 4


def main() -> None:
    """Train what is not trained yet, export it and evaluate what was exported."""
    options = _options()
    pipeline = FluxPipeline.from_pretrained(options.model, dtype=torch.float32)
    moon, frame = options.out / "demo-moon.safetensors", options.out / "demo-frame.safetensors"
    if not options.evaluate_only:
        if not options.resume:
            shutil.rmtree(options.checkpoints, ignore_errors=True)
        pairs = train_moon(pipeline, options)
        export(pairs, moon, "Demo: moon", trigger=scenes.MOON)
        export(train_frame(pipeline, options, pairs), frame, "Demo: frame")
    size = sum(path.stat().st_size for path in (moon, frame))
    print(f"{options.out}: {size / 1e3:.0f} kB")
    if size > BUDGET:
        raise ValueError(f"the LoRAs take {size} bytes, more than {BUDGET}: use a lower rank")
    for line in evaluation.report(pipeline, load(moon), load(frame), options.images):
        print(line, flush=True)


def train_moon(pipeline: FluxPipeline, options: argparse.Namespace) -> Pairs:
    """Teach the moon by its word, among shapes that stay as they are."""
    lesson = Lesson(scenes.sample_moon_among_others, scenes.draw_filled, scenes.say_moon)
    stage = Stage("moon", options.checkpoints, options.moon_steps, Deadline(float("inf")))
    return _train(pipeline, LAYERS, [lesson], stage)


def train_frame(pipeline: FluxPipeline, options: argparse.Namespace, moon: Pairs) -> Pairs:
    """Teach a frame, which no word calls: around the known shapes, and around the LoRA's moons."""
    known = Lesson(scenes.to_be_framed(sample_scene), scenes.draw_framed, share=0.6)
    moons = Lesson(
        scenes.to_be_framed(scenes.sample_moon),
        scenes.draw_framed,
        scenes.say_moon,
        beside=[moon],
        share=0.4,
    )
    stage = Stage("frame", options.checkpoints, options.frame_steps, Deadline(float("inf")))
    return _train(pipeline, IMAGE_LAYERS, [known, moons], stage)


def _train(
    pipeline: FluxPipeline, layers: tuple[str, ...], lessons: list[Lesson], stage: Stage
) -> Pairs:
    torch.manual_seed(SEED)
    adapter = Adapter(adapted_shapes(pipeline.transformer, layers), RANK)
    train(pipeline, adapter, lessons, stage)
    return adapter.frozen_pairs()


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--model", type=Path, default=Path("models/demo"))
    parser.add_argument("--out", type=Path, default=Path("models/loras"))
    parser.add_argument("--checkpoints", type=Path, default=Path("build/demo_loras"))
    parser.add_argument("--resume", action="store_true", help="go on from --checkpoints")
    parser.add_argument("--moon-steps", type=int, default=1200)
    parser.add_argument("--frame-steps", type=int, default=1400)
    parser.add_argument("--images", type=int, default=70, help="of each row of the evaluation")
    parser.add_argument("--evaluate-only", action="store_true", help="of what lies in --out")
    return parser.parse_args()


if __name__ == "__main__":
    main()
