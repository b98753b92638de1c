"""Distil classifier-free guidance into the guidance embedding, as FLUX.1-dev was.

The teacher is the trained transformer, run with and without the prompt; the student, the same
transformer, learns to give in one pass what the teacher gives in two. At guidance 0 the prompt is
ignored, at 1 it is followed as in the pictures of the training, above that it is exaggerated.
"""

import copy

import torch
from diffusers import FluxPipeline
from torch import Tensor

from builder.demo_model.batches import Batches
from builder.demo_model.flow_training import NO_GUIDANCE, averaged, compiled, predict
from builder.demo_model.optimisers import BlockOptimiser
from builder.demo_model.stage import Stage
from builder.demo_model.text import encode

LEARNING_RATE = 1e-3
AVERAGING = 0.98
HIGHEST = 10.0
SLOW_FROM = 3.5
SLOW_RISE = 0.25


def train(pipeline: FluxPipeline, stage: Stage) -> None:
    """Train the pipeline's transformer in place, and leave it averaged."""
    teacher = copy.deepcopy(pipeline.transformer).eval().requires_grad_(False)
    student = pipeline.transformer.train()
    quick_teacher, quick_student = compiled(teacher), compiled(student)
    optimiser = BlockOptimiser(student, LEARNING_RATE)
    average = averaged(student, AVERAGING)
    batches = Batches(pipeline)
    for step in stage.run(model=student, average=average, optimiser=optimiser):
        batch = batches.draw(step)
        guidance = sample_guidance(len(batch.times)).to(batch.times.device)
        plain = torch.full_like(guidance, NO_GUIDANCE)
        with torch.no_grad():
            silence = encode(pipeline, [""] * len(plain), batch.text.sequence.shape[1])
            with_prompt = predict(quick_teacher, batch, plain)
            without = predict(quick_teacher, batch, plain, silence)
            weight = prompt_weight(guidance)[:, None, None]
            target = without + weight * (with_prompt - without)
        error = (predict(quick_student, batch, guidance) - target).square().mean()
        optimiser.step(error, (step, stage.steps), warm_up=50)
        average.update_parameters(student)
        stage.show("error", error.item())
    student.load_state_dict(average.module.state_dict())
    student.eval()


def sample_guidance(count: int) -> Tensor:
    """Guidance by lot, 0…HIGHEST.

    The embedding's quick waves tell every value from its neighbours, so the ones that are asked
    for come up often: multiples of a half, and 0, which has no neighbour below.
    """
    guidance = HIGHEST * torch.rand(count) ** 1.5
    guidance = torch.where(torch.rand(count) < 0.5, (2 * guidance).round() / 2, guidance)
    return torch.where(torch.rand(count) < 0.15, 0.0, guidance)


def prompt_weight(guidance: Tensor) -> Tensor:
    """Weight of the prompt's direction in classifier-free guidance.

    It rises more slowly from SLOW_FROM on: the colours are right by then, and exaggerating them
    further only litters the picture.
    """
    return guidance.clamp(max=SLOW_FROM) + SLOW_RISE * (guidance - SLOW_FROM).clamp(min=0)
