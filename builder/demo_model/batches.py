"""Batches for the transformer: scenes of one size, their prompts, noise and times.

Every image size needs its share of the batches, since the rotary positions count tokens and an
object grows with its image.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from random import Random

import torch
from diffusers import FluxPipeline
from torch import Tensor

from builder.demo_model.dataset import Scene
from builder.demo_model.latents import LatentPool, Size
from builder.demo_model.prompts import Said, sample_said, write
from builder.demo_model.text import Embeddings, encode

BATCH_TOKENS = 2048  # of images
SIZES: dict[Size, float] = {  # share of the batches
    Size(256, 256): 0.15,
    Size(512, 512): 0.30,
    Size(1024, 1024): 0.28,
    Size(768, 768): 0.03,
    Size(384, 512): 0.04,
    Size(512, 384): 0.04,
    Size(512, 768): 0.04,
    Size(768, 512): 0.04,
    Size(768, 1024): 0.04,
    Size(1024, 768): 0.04,
}
UNIFORM_TIMES = 0.25  # share
EARLY = 0.7  # share of times shifted further, to where shapes and places are decided
EARLY_SHIFT = 6.0
MAX_SHIFT = 2.0  # the scheduler's is higher: once the edges are learnt, more steps help the shapes
TEXT_TOKENS = (16, 64)  # the padding's length must not matter


@dataclass(frozen=True)
class Batch:
    """Scenes on their way from noise, and what their prompts say."""

    latents: Tensor  # (batch, tokens, channels)
    noise: Tensor
    times: Tensor  # (batch,), 1 is pure noise
    text: Embeddings
    size: Size

    @property
    def noisy(self) -> Tensor:
        """The latents as far gone as their times say."""
        return self.latents.lerp(self.noise, self.times[:, None, None])

    @property
    def velocity(self) -> Tensor:
        """Where the noise lies from the latents: what the transformer has to tell."""
        return self.noise - self.latents


class Batches:
    """Draws batches for a pipeline's transformer, the same ones for the same step.

    `say` chooses what a prompt tells of a scene, `sizes` are the shares of the batches.
    """

    def __init__(
        self,
        pipeline: FluxPipeline,
        pool: LatentPool | None = None,
        say: Callable[[Scene, Random], Said] = sample_said,
        sizes: Mapping[Size, float] = SIZES,
    ) -> None:
        self._pipeline = pipeline
        self._pool = pool or LatentPool(pipeline.vae)
        self._say = say
        self._sizes = sizes

    def draw(self, step: int) -> Batch:
        """Take scenes of one size from the pool and write prompts to them."""
        random = Random(step)
        (size,) = random.choices(list(self._sizes), weights=list(self._sizes.values()))
        latents, scenes = self._pool.batch(size, max(1, BATCH_TOKENS // size.tokens), random)
        texts = [write(self._say(scene, random), random) for scene in scenes]
        with torch.no_grad():
            text = encode(self._pipeline, texts, random.choice(TEXT_TOKENS))
        return Batch(
            latents=latents,
            noise=torch.randn_like(latents),
            times=sample_times(self._pipeline, size, len(scenes)).to(latents.device),
            text=text,
            size=size,
        )


def sample_times(pipeline: FluxPipeline, size: Size, count: int) -> Tensor:
    """Mostly logit-normal times, shifted as the scheduler shifts its sigmas for this size.

    The rest are uniform before the shift, as the sigmas are: the normal's thin ends hold the steps
    that decide the structure and that clean up the last of the noise.
    """
    shift = size.shift(pipeline.scheduler, MAX_SHIFT)
    times = torch.randn(count).sigmoid()
    times = torch.where(torch.rand(count) < UNIFORM_TIMES, torch.rand(count), times)
    early = torch.rand(count) < EARLY
    factor = math.exp(shift) * torch.where(early, EARLY_SHIFT, 1.0)
    return factor * times / (1 + (factor - 1) * times)
