"""Train the transformer to turn noise into latents of scenes: rectified flow, as FLUX was."""

import shutil
from collections.abc import Callable
from typing import Any

import torch
from diffusers import FluxPipeline, FluxTransformer2DModel
from torch import Tensor
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from builder.demo_model.batches import Batch, Batches
from builder.demo_model.latents import Size
from builder.demo_model.optimisers import BlockOptimiser
from builder.demo_model.stage import Stage
from builder.demo_model.text import Embeddings

LEARNING_RATE = 3e-3
AVERAGING = 0.998
NO_GUIDANCE = 1.0  # what the guidance embedding gets until it is trained


def train(pipeline: FluxPipeline, stage: Stage) -> None:
    """Train the pipeline's transformer in place, and leave it averaged."""
    model = pipeline.transformer.train()
    quick = compiled(model)
    optimiser = BlockOptimiser(model, LEARNING_RATE)
    average = averaged(model, AVERAGING)
    batches = Batches(pipeline)
    for step in stage.run(model=model, average=average, optimiser=optimiser):
        batch = batches.draw(step)
        guidance = torch.full_like(batch.times, NO_GUIDANCE)
        error = (predict(quick, batch, guidance) - batch.velocity).square().mean()
        optimiser.step(error, (step, stage.steps), warm_up=100)
        average.update_parameters(model)
        stage.show(str(batch.size), error.item())
    model.load_state_dict(average.module.state_dict())
    model.eval()


def averaged(model: FluxTransformer2DModel, decay: float) -> AveragedModel:
    """A copy that follows the weights' exponential average."""
    follow = get_ema_multi_avg_fn(decay)  # type: ignore[no-untyped-call]
    return AveragedModel(model, multi_avg_fn=follow)


def compiled(model: FluxTransformer2DModel) -> Callable[..., Any]:
    """The model, faster where there is a C++ compiler: a step takes two thirds of its time."""
    plain: Callable[..., Any] = model
    return torch.compile(plain, dynamic=True) if shutil.which("g++") else plain


def predict(
    model: Callable[..., Any], batch: Batch, guidance: Tensor, text: Embeddings | None = None
) -> Tensor:
    """The velocity (batch, tokens, channels) at guidance (batch,), by its own text or another."""
    text, noisy = text or batch.text, batch.noisy
    with torch.autocast(noisy.device.type, torch.bfloat16):
        velocity = velocity_of(model, noisy, batch.times, batch.size, guidance, text)
    return velocity.float()


def velocity_of(
    model: Callable[..., Any],
    noisy: Tensor,
    times: Tensor,
    size: Size,
    guidance: Tensor,
    text: Embeddings,
) -> Tensor:
    """The velocity (batch, tokens, channels) of noisy latents, at times and guidance (batch,)."""
    velocity: Tensor = model(
        hidden_states=noisy,
        encoder_hidden_states=text.sequence,
        pooled_projections=text.pooled,
        timestep=times,
        img_ids=size.position_ids(noisy.device),
        txt_ids=torch.zeros(text.sequence.shape[1], 3, device=noisy.device),
        guidance=guidance,
        return_dict=False,
    )[0]
    return velocity
