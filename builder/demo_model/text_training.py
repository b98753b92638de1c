"""Teach both text encoders to read prompts, before any picture is drawn.

Small heads have to tell from the encoders' output which shape, colours and size a prompt names.
That takes a minute and spares the transformer from learning to read by way of pictures. The
heads are thrown away and the encoders frozen.
"""

from random import Random

import torch
from diffusers import FluxPipeline
from torch import Tensor, nn
from torch.nn import functional

from builder.demo_model import language
from builder.demo_model.architecture import TEXT_WIDTH
from builder.demo_model.dataset import sample_scene
from builder.demo_model.prompts import Said, sample_said, write
from builder.demo_model.schedule import cosine
from builder.demo_model.stage import Stage
from builder.demo_model.text import encode

BATCH = 128
LEARNING_RATE = 2e-3
ANSWERS: dict[str, list[str | None]] = {
    "shape": [None, *language.SHAPES],
    "colour": [None, *language.COLOURS],
    "background": [None, *language.COLOURS],
    "size": [None, *language.SIZES],
}


def train(pipeline: FluxPipeline, stage: Stage) -> None:
    """Train both encoders in place."""
    answers = sum(len(choices) for choices in ANSWERS.values())
    parts = nn.ModuleDict(
        {
            "clip": pipeline.text_encoder,
            "t5": pipeline.text_encoder_2,
            "pooled_head": nn.Linear(TEXT_WIDTH, answers),
            "sequence_head": nn.Linear(TEXT_WIDTH, answers),
        }
    ).to(pipeline.device)
    optimiser = torch.optim.AdamW(parts.parameters(), LEARNING_RATE, weight_decay=0.01)
    for step in stage.run(parts=parts, optimiser=optimiser):
        random = Random(step)
        said = [sample_said(sample_scene(random), random) for _ in range(BATCH)]
        texts = [write(one, random) for one in said]
        embeddings = encode(pipeline, texts, random.choice((16, 32)))
        target = _answers(said).to(pipeline.device)
        by_pooled = parts["pooled_head"](embeddings.pooled)
        by_sequence = parts["sequence_head"](embeddings.sequence.mean(1))
        loss = _error(by_pooled, target) + _error(by_sequence, target)
        for group in optimiser.param_groups:
            group["lr"] = LEARNING_RATE * cosine(step, stage.steps, warm_up=50)
        optimiser.zero_grad()
        torch.autograd.backward(loss)
        nn.utils.clip_grad_norm_(parts.parameters(), 1.0)
        optimiser.step()
        stage.show("clip", _right(by_pooled, target))
        stage.show("t5", _right(by_sequence, target))
    parts.requires_grad_(False).eval()


def _answers(said: list[Said]) -> Tensor:
    """Which answer is right to each question: (batch, questions)."""
    return torch.tensor(
        [[choices.index(getattr(one, part)) for part, choices in ANSWERS.items()] for one in said]
    )


def _split(logits: Tensor) -> tuple[Tensor, ...]:
    return torch.split(logits, [len(choices) for choices in ANSWERS.values()], dim=1)


def _error(logits: Tensor, target: Tensor) -> Tensor:
    pairs = zip(_split(logits), target.unbind(1), strict=True)
    return torch.stack([functional.cross_entropy(part, right) for part, right in pairs]).sum()


def _right(logits: Tensor, target: Tensor) -> float:
    """Share of prompts with every answer right."""
    found = torch.stack([part.argmax(1) for part in _split(logits)], 1)
    return (found == target).all(1).float().mean().item()
