"""Train the demo model from nothing to a checkpoint, and print how well it follows prompts.

    python -m builder.train_demo_model --out models/demo --checkpoints build/demo

Every stage goes on from its checkpoint when the command is run again with --resume; --minutes ends
a stretch in time, and the next one continues.
"""

import argparse
import shutil
from collections.abc import Callable
from pathlib import Path

import torch
from diffusers import FluxPipeline

from builder.demo_model import (
    architecture,
    decoder_training,
    evaluation,
    flow_training,
    guidance_training,
    text_training,
    vae_training,
)
from builder.demo_model.export import export
from builder.demo_model.stage import Deadline, Stage

SEED = 0


def main() -> None:
    """Run all stages that are not done yet, then export and evaluate."""
    options = _options()
    if not options.resume:
        shutil.rmtree(options.checkpoints, ignore_errors=True)
    pipeline = architecture.pipeline(SEED).to(torch.device(options.device))
    if not train(pipeline, options):
        print("Time is up; run again with --resume to go on.")
        return
    size = export(pipeline, options.out)
    print(f"{options.out}: {size / 1e6:.1f} MB")
    for line in evaluation.report(pipeline, options.evaluation):
        print(line, flush=True)


def train(pipeline: FluxPipeline, options: argparse.Namespace) -> bool:
    """Train all components in place; False if the time was up before all steps were done."""
    deadline = Deadline(options.minutes)
    stages: list[tuple[str, Callable[[Stage], None]]] = [
        ("vae", lambda stage: vae_training.train(pipeline.vae, stage)),
        ("text", lambda stage: text_training.train(pipeline, stage)),
        ("flow", lambda stage: flow_training.train(pipeline, stage)),
        ("guidance", lambda stage: guidance_training.train(pipeline, stage)),
        ("decoder", lambda stage: decoder_training.train(pipeline, stage)),
    ]
    for name, run in stages:
        stage = Stage(name, options.checkpoints, getattr(options, f"{name}_steps"), deadline)
        run(stage)
        if not stage.finished:
            return False
    return True


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--out", type=Path, default=Path("models/demo"), help="the checkpoint")
    parser.add_argument("--checkpoints", type=Path, default=Path("build/demo"))
    parser.add_argument("--resume", action="store_true", help="go on from --checkpoints")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument(
        "--minutes", type=float, default=float("inf"), help="of training, then stop"
    )
    parser.add_argument("--vae-steps", type=int, default=2400)
    parser.add_argument("--text-steps", type=int, default=280)
    parser.add_argument("--flow-steps", type=int, default=30000)
    parser.add_argument("--guidance-steps", type=int, default=1000)
    parser.add_argument("--decoder-steps", type=int, default=2500)
    parser.add_argument(
        "--evaluation", type=float, default=1.0, help="share of the evaluation's images"
    )
    return parser.parse_args()


if __name__ == "__main__":
    main()
