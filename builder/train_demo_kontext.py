"""Teach the demo model to edit pictures, as FLUX.1-Kontext does, and print how well it does.

    python -m builder.train_demo_kontext --out models/demo-kontext --checkpoints build/demo_kontext

Training goes on from its checkpoint when the command is run again with --resume; --minutes ends a
stretch in time. --export-anyway makes a model of what is learnt by then.
"""

import argparse
import shutil
from pathlib import Path

import torch
from diffusers import FluxKontextPipeline, FluxPipeline

from builder.demo_kontext import evaluation, training
from builder.demo_kontext.export import export
from builder.demo_model.stage import Deadline, Stage


def main() -> None:
    """Train what is not trained yet, then export and evaluate."""
    options = _options()
    if not options.evaluate_only:
        if not options.resume:
            shutil.rmtree(options.checkpoints, ignore_errors=True)
        if not train(options):
            print("Time is up; run again with --resume to go on.")
            return
    pipeline = FluxKontextPipeline.from_pretrained(options.out, dtype=torch.float32)
    for line in evaluation.report(pipeline, options.evaluation):
        print(line, flush=True)


def train(options: argparse.Namespace) -> bool:
    """Train and export; False if the time was up before all steps were done."""
    pipeline = FluxPipeline.from_pretrained(options.model, dtype=torch.float32)
    stage = Stage("edits", options.checkpoints, options.steps, Deadline(options.minutes))
    training.train(pipeline, stage)
    if not stage.finished and not options.export_anyway:
        return False
    size = export(pipeline.transformer, options.model, options.out)
    print(f"{options.out}: {size / 1e6:.1f} MB of its own")
    return True


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--model", type=Path, default=Path("models/demo"), help="to start from")
    parser.add_argument("--out", type=Path, default=Path("models/demo-kontext"))
    parser.add_argument("--checkpoints", type=Path, default=Path("build/demo_kontext"))
    parser.add_argument("--resume", action="store_true", help="go on from --checkpoints")
    parser.add_argument(
        "--minutes", type=float, default=float("inf"), help="of training, then stop"
    )
    parser.add_argument("--steps", type=int, default=10000)
    parser.add_argument(
        "--export-anyway", action="store_true", help="even if --minutes ended the training"
    )
    parser.add_argument("--evaluate-only", action="store_true", help="of what lies in --out")
    parser.add_argument(
        "--evaluation", type=float, default=1.0, help="share of the evaluation's images"
    )
    return parser.parse_args()


if __name__ == "__main__":
    main()
