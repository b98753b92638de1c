"""Latents to pixels, for the finished image and for previews of it."""

import torch
from diffusers import FluxPipeline
from torch import Tensor

from flux_worker.delivery.images import Pixels


def decode(pipe: FluxPipeline, latents: Tensor) -> Tensor:
    """Decode latents (1, channels, height, width) to an image (1, 3, height, width) in -1…1."""
    vae = pipe.vae
    latents = latents / vae.config.scaling_factor + vae.config.shift_factor
    image: Tensor = vae.decode(latents.to(vae.dtype), return_dict=False)[0]
    return image


def unpack(pipe: FluxPipeline, packed: Tensor, width: int, height: int) -> Tensor:
    """Lay the transformer's tokens (1, tokens, 4 × channels) out as latents; sides in pixels."""
    latents: Tensor = pipe._unpack_latents(packed, height, width, pipe.vae_scale_factor)
    return latents


def to_pixels(image: Tensor) -> Pixels:
    """Turn an image (1, 3, height, width) in -1…1 into pixels."""
    levels = image[0].float().mul(0.5).add(0.5).clamp(0, 1).mul(255).round()
    pixels: Pixels = levels.to(torch.uint8).permute(1, 2, 0).contiguous().cpu().numpy()
    return pixels
