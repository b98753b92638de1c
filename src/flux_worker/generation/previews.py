"""Small pictures of what a generation is heading for, from between two of its steps."""

import torch
from diffusers import FluxPipeline
from torch import Tensor
from torch.nn import functional

from flux_worker.delivery import images
from flux_worker.generation import decoding

SIDE = 256
"""Pixels of the longer side, about: whole latents."""
PER_JOB = 4
"""At most: each costs a small decoding between two steps."""


def due(step: int, steps: int) -> bool:
    """Whether to make a preview after this step, counted from 1; they are evenly spread."""
    # After the first step there is nothing to compare with, after the last the image itself.
    share = PER_JOB + 1
    return 1 < step < steps and step * share // steps > (step - 1) * share // steps


def clean_estimate(
    before: Tensor, after: Tensor, sigma_before: float, sigma_after: float
) -> Tensor:
    """Go on from the latents after a step, straight to where there is no noise.

    A step of rectified flow is `after = before + (sigma_after - sigma_before) × velocity`, and the
    clean latents lie at `after - sigma_after × velocity` (https://arxiv.org/abs/2209.03003).
    """
    velocity = (after - before) / (sigma_after - sigma_before)
    return after - sigma_after * velocity


@torch.no_grad()
def picture(pipe: FluxPipeline, packed: Tensor, width: int, height: int) -> str:
    """Decode clean packed latents of an image of these sides, small, to a JPEG `data:` URL."""
    latents = decoding.unpack(pipe, packed, width, height)
    scale = min(1.0, SIDE / max(width, height))
    rows, columns = (max(1, round(side * scale)) for side in latents.shape[2:])
    # Averaged before the decoding, which then takes a sixteenth of the time at 1024².
    small = functional.adaptive_avg_pool2d(latents.float(), (rows, columns))
    pixels = decoding.to_pixels(decoding.decode(pipe, small))
    return images.encode(pixels, "jpeg").data_url
