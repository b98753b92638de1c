"""Teach the trained transformer to edit: FLUX.1-Kontext's way, by a reference in the sequence.

The reference's packed latents follow the noisy ones; they have places of their own, told by the
first coordinate, and what the transformer predicts for them is dropped. A result follows from its
reference and instruction, so there is nothing for guidance to sharpen: every guidance learns it.
"""

from collections.abc import Callable
from dataclasses import dataclass
from random import Random
from typing import Any

import torch
from diffusers import FluxPipeline
from torch import Tensor

from builder.demo_kontext.copying import start_copying
from builder.demo_kontext.edits import Album, preferred, sample_edit, sample_family
from builder.demo_kontext.instructions import instruct
from builder.demo_model.architecture import T5_TOKENS
from builder.demo_model.batches import Batch, sample_times
from builder.demo_model.flow_training import averaged, compiled
from builder.demo_model.guidance_training import sample_guidance
from builder.demo_model.latents import Size
from builder.demo_model.optimisers import BlockOptimiser
from builder.demo_model.stage import Stage
from builder.demo_model.text import encode

LEARNING_RATE = 2e-3
AVERAGING = 0.995
BATCH_TOKENS = 2048  # of results and references
SIZES: dict[Size, float] = {  # of results; share of the batches
    Size(1024, 1024): 0.64,
    Size(512, 512): 0.16,
    Size(768, 768): 0.04,
    Size(256, 256): 0.04,
    Size(768, 1024): 0.03,
    Size(1024, 768): 0.03,
    Size(512, 768): 0.03,
    Size(768, 512): 0.03,
}
# References as large as the result are few tokens: they teach the reading of instructions first.
EASY_UNTIL = 0.35  # share of the steps
EASY_SIZES = {Size(512, 512): 0.5, Size(256, 256): 0.38, Size(1024, 1024): 0.12}
SQUARE = 0.2  # share of references that are square whatever the result
# A reference's encoding takes as long as a step, so large ones are of fewer families.
FIRST_TOKENS = 30_000  # of one reference of each family
MORE_TOKENS = 20  # a step
REFERENCE_NOISE = 0.06  # most that is added to a reference, which may come from the model itself


@dataclass(frozen=True)
class EditBatch:
    """Results on their way from noise, with their instructions and references."""

    results: Batch
    references: Tensor  # (batch, tokens, channels)
    reference_size: Size


class EditBatches:
    """Draws batches for a pipeline's transformer, the same ones for the same step."""

    def __init__(self, pipeline: FluxPipeline, steps: int) -> None:
        self._pipeline = pipeline
        self._steps = steps
        self._album = Album(pipeline.vae)

    def draw(self, step: int) -> EditBatch:
        """Take edits of one size and write instructions to them."""
        random = Random(step)
        size, reference_size = _sizes(step / self._steps, random)
        count = max(1, round(BATCH_TOKENS / (size.tokens + reference_size.tokens)))
        families = (FIRST_TOKENS + MORE_TOKENS * step) // reference_size.tokens
        edits = [
            sample_edit(sample_family(Random(random.randrange(families))), random)
            for _ in range(count)
        ]
        latents = self._album.latents((edit.result for edit in edits), size)
        references = self._album.latents((edit.reference for edit in edits), reference_size)
        texts = [instruct(edit.said, edit.reference, random) for edit in edits]
        with torch.no_grad():
            text = encode(self._pipeline, texts, T5_TOKENS)
        results = Batch(
            latents=latents,
            noise=torch.randn_like(latents),
            times=sample_times(self._pipeline, size, count).to(latents.device),
            text=text,
            size=size,
        )
        noise = REFERENCE_NOISE * torch.rand(count, 1, 1, device=latents.device)
        return EditBatch(results, references + noise * torch.randn_like(references), reference_size)


def train(pipeline: FluxPipeline, stage: Stage) -> None:
    """Train the pipeline's transformer in place, and leave it averaged."""
    model = pipeline.transformer.train().requires_grad_(True)
    start_copying(model)
    quick = compiled(model)
    optimiser = BlockOptimiser(model, LEARNING_RATE)
    average = averaged(model, AVERAGING)
    batches = EditBatches(pipeline, stage.steps)
    for step in stage.run(model=model, average=average, optimiser=optimiser):
        batch = batches.draw(step)
        guidance = sample_guidance(len(batch.references)).to(batch.references.device)
        error = (predict(quick, batch, guidance) - batch.results.velocity).square().mean()
        optimiser.step(error, (step, stage.steps), warm_up=100)
        average.update_parameters(model)
        stage.show(str(batch.results.size), error.item())
    model.load_state_dict(average.module.state_dict())
    model.eval().requires_grad_(False)


def predict(model: Callable[..., Any], batch: EditBatch, guidance: Tensor) -> Tensor:
    """The results' velocity (batch, tokens, channels) at guidance (batch,)."""
    results, device = batch.results, batch.references.device
    places = batch.reference_size.position_ids(device)
    places[:, 0] = 1
    with torch.autocast(device.type, torch.bfloat16):
        velocity: Tensor = model(
            hidden_states=torch.cat([results.noisy, batch.references], 1),
            encoder_hidden_states=results.text.sequence,
            pooled_projections=results.text.pooled,
            timestep=results.times,
            img_ids=torch.cat([results.size.position_ids(device), places]),
            txt_ids=torch.zeros(results.text.sequence.shape[1], 3, device=device),
            guidance=guidance,
            return_dict=False,
        )[0]
    return velocity[:, : results.size.tokens].float()


def _sizes(progress: float, random: Random) -> tuple[Size, Size]:
    """The result's and the reference's."""
    if progress < EASY_UNTIL:
        (size,) = random.choices(list(EASY_SIZES), weights=list(EASY_SIZES.values()))
        return size, size
    (size,) = random.choices(list(SIZES), weights=list(SIZES.values()))
    is_square = random.random() < SQUARE
    return size, preferred(Size(1024, 1024) if is_square else size)
