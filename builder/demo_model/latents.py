"""Scenes as the transformer sees them: packed latents, encoded once and shown several times."""

from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random

import numpy as np
import torch
from diffusers import AutoencoderKL, FlowMatchEulerDiscreteScheduler, FluxPipeline
from diffusers.pipelines.flux.pipeline_flux import calculate_shift
from numpy.typing import NDArray
from torch import Tensor

from builder.demo_model.dataset import Scene, draw, sample_scene

CAPACITY = 1_500_000  # tokens kept of each size
FRESH = 0.1  # share of batches that are newly drawn
FIRST_BATCHES = 8  # batches that are all newly drawn, before a size starts to repeat itself
TOKEN_SIDE = 32  # pixels: the VAE's 16, packed in twos

Draw = Callable[[Scene, int, int], NDArray[np.uint8]]  # of a height and a width


@dataclass(frozen=True)
class Size:
    """An image size in pixels."""

    height: int
    width: int

    @property
    def tokens(self) -> int:
        """How many tokens the transformer sees."""
        return self.height // TOKEN_SIDE * (self.width // TOKEN_SIDE)

    def __str__(self) -> str:
        return f"{self.width}×{self.height}"

    def shift(
        self, scheduler: FlowMatchEulerDiscreteScheduler, max_shift: float | None = None
    ) -> float:
        """How far the scheduler shifts its sigmas, with its own greatest shift or another."""
        config = scheduler.config
        shift: float = calculate_shift(
            self.tokens,
            config.base_image_seq_len,
            config.max_image_seq_len,
            config.base_shift,
            config.max_shift if max_shift is None else max_shift,
        )
        return shift

    def position_ids(self, device: torch.device) -> Tensor:
        """Each token's place for the rotary embedding, (tokens, 3)."""
        ids: Tensor = FluxPipeline._prepare_latent_image_ids(
            1, self.height // TOKEN_SIDE, self.width // TOKEN_SIDE, device, torch.float32
        )
        return ids


@dataclass
class LatentPool:
    """Draws and encodes scenes, and keeps them, by size, to be shown again with other prompts."""

    vae: AutoencoderKL
    sample: Callable[[Random], Scene] = sample_scene
    draw: Draw = draw
    kept: dict[Size, list[tuple[Tensor, Scene]]] = field(default_factory=dict)

    def batch(self, size: Size, count: int, random: Random) -> tuple[Tensor, list[Scene]]:
        """Packed latents (count, tokens, channels) of unit variance and their scenes."""
        kept = self.kept.setdefault(size, [])
        if random.random() < max(FRESH, FIRST_BATCHES * count / (len(kept) + 1) - 1):
            fresh = self._encode(size, count, random)
            kept.extend(fresh)
            del kept[: -CAPACITY // size.tokens]
            chosen = fresh
        else:
            chosen = random.sample(kept, count)
        latents = torch.stack([latent for latent, _ in chosen]).to(self.vae.device).float()
        return latents, [scene for _, scene in chosen]

    @torch.no_grad()
    def _encode(self, size: Size, count: int, random: Random) -> list[tuple[Tensor, Scene]]:
        scenes = [self.sample(random) for _ in range(count)]
        with torch.autocast(self.vae.device.type, torch.bfloat16):
            packed = encode_pixels(self.vae, draw_pixels(scenes, size, self.draw))
        return list(zip(packed.to("cpu", torch.bfloat16), scenes, strict=True))


def draw_pixels(scenes: list[Scene], size: Size, draw: Draw = draw) -> Tensor:
    """Draw the scenes as bytes (scenes, 3, height, width)."""
    images = np.stack([draw(scene, size.height, size.width) for scene in scenes])
    return torch.from_numpy(images).permute(0, 3, 1, 2)


def normalise(images: Tensor) -> Tensor:
    """Bytes to the -1…1 that the VAE takes."""
    return (images.float() / 127.5 - 1).contiguous(memory_format=torch.channels_last)


def encode_pixels(vae: AutoencoderKL, pixels: Tensor) -> Tensor:
    """Bytes to packed latents (batch, tokens, channels) of unit variance."""
    latents = vae.encode(normalise(pixels.to(vae.device))).latent_dist.mean.float()
    latents = (latents - vae.config.shift_factor) * vae.config.scaling_factor
    packed: Tensor = FluxPipeline._pack_latents(latents, *latents.shape)
    return packed


@torch.no_grad()
def set_latent_scale(vae: AutoencoderKL) -> None:
    """Set the VAE's factor so that its strongest channel, a colour, has about unit variance.

    The other channels tell edges from flat areas and stay small; scaled by all channels' variance,
    the colours would outshine the noise and be decided in the first steps.
    """
    vae.register_to_config(shift_factor=0.0, scaling_factor=1.0)
    latents, _ = LatentPool(vae).batch(Size(256, 256), 128, Random(0))
    channels = latents.reshape(*latents.shape[:2], -1, 4)
    strongest = channels.std((0, 1, 3)).max().item()
    vae.register_to_config(scaling_factor=round(1 / strongest, 4))
