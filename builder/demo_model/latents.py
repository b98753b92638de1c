"""Scenes as the transformer sees them: packed latents, encoded once and shown several times."""

from dataclasses import dataclass, field
from random import Random

import numpy as np
import torch
from diffusers import AutoencoderKL, FluxPipeline
from torch import Tensor

from builder.demo_model.dataset import Scene, draw, sample_scene

CAPACITY = 1_500_000  # tokens kept of each size
FRESH = 0.1  # share of batches that are newly drawn
FIRST_BATCHES = 8  # batches that are all newly drawn, before a size starts to repeat itself
TOKEN_SIDE = 32  # pixels: the VAE's 16, packed in twos


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
        scenes = [sample_scene(random) for _ in range(count)]
        images = np.stack([draw(scene, size.height, size.width) for scene in scenes])
        pixels = torch.from_numpy(images).permute(0, 3, 1, 2).to(self.vae.device)
        pixels = (pixels.float() / 127.5 - 1).contiguous(memory_format=torch.channels_last)
        with torch.autocast(pixels.device.type, torch.bfloat16):
            latents = self.vae.encode(pixels).latent_dist.mean.float()
        config = self.vae.config
        latents = (latents - config.shift_factor) * config.scaling_factor
        packed = FluxPipeline._pack_latents(latents, count, *latents.shape[1:])
        return list(zip(packed.to("cpu", torch.bfloat16), scenes, strict=True))


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
