"""Train one adapter on lessons, while others may already be at work."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from random import Random

import torch
from diffusers import FluxPipeline

from builder.demo_loras.adapter import Adapter, Pairs, merged, with_weights
from builder.demo_model.batches import Batches
from builder.demo_model.dataset import Scene
from builder.demo_model.flow_training import NO_GUIDANCE, predict
from builder.demo_model.latents import Draw, LatentPool, Size
from builder.demo_model.prompts import Said, sample_said
from builder.demo_model.schedule import cosine
from builder.demo_model.stage import Stage

LEARNING_RATE = 1e-2
SIZES = {Size(256, 256): 0.1, Size(512, 512): 0.7, Size(1024, 1024): 0.2}  # share of the batches


@dataclass(frozen=True)
class Lesson:
    """Pictures to learn from, what is said of them, and which adapters are at work meanwhile."""

    sample: Callable[[Random], Scene]
    draw: Draw
    say: Callable[[Scene, Random], Said] = sample_said
    beside: Sequence[Pairs] = ()
    share: float = 1.0


def train(
    pipeline: FluxPipeline, adapter: Adapter, lessons: Sequence[Lesson], stage: Stage
) -> None:
    """Train the adapter in place; the pipeline stays as it is."""
    model = pipeline.transformer.requires_grad_(False)
    optimiser = torch.optim.AdamW(adapter.parameters(), betas=(0.9, 0.98), weight_decay=0.0)
    sources = [
        Batches(pipeline, LatentPool(pipeline.vae, lesson.sample, lesson.draw), lesson.say, SIZES)
        for lesson in lessons
    ]
    shares = [lesson.share for lesson in lessons]
    for step in stage.run(adapter=adapter, optimiser=optimiser):
        (turn,) = Random(step).choices(range(len(lessons)), shares)
        batch = sources[turn].draw(step)
        weights = merged(model, [(adapter.pairs(), 1.0), *((p, 1.0) for p in lessons[turn].beside)])
        guidance = torch.full_like(batch.times, NO_GUIDANCE)
        predicted = predict(with_weights(model, weights), batch, guidance)
        error = (predicted - batch.velocity).square().mean()
        optimiser.param_groups[0]["lr"] = LEARNING_RATE * cosine(step, stage.steps, warm_up=20)
        optimiser.zero_grad()
        torch.autograd.backward(error)
        torch.nn.utils.clip_grad_norm_(adapter.parameters(), 1.0)
        optimiser.step()
        stage.show(str(batch.size), error.item())
