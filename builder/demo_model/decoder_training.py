"""Teach the decoder alone to draw clean pictures from latents as the transformer leaves them.

Its edges come out ragged, since every token errs for itself. So latents of scenes are noised in
part and denoised again by the transformer, and the decoder learns to give the scene back. The
encoder stays as it is, and with it the latents that the transformer was trained on.
"""

from dataclasses import dataclass
from itertools import pairwise
from random import Random

import numpy as np
import torch
from diffusers import FluxPipeline
from torch import Tensor
from tqdm import tqdm

from builder.demo_model import evaluation
from builder.demo_model.architecture import T5_TOKENS
from builder.demo_model.dataset import Scene, sample_scene
from builder.demo_model.flow_training import velocity_of
from builder.demo_model.latents import Size, draw_pixels, encode_pixels, normalise
from builder.demo_model.schedule import cosine
from builder.demo_model.stage import Stage
from builder.demo_model.text import encode
from builder.demo_model.vae_training import descend, reconstruction_error

SCENES = {Size(256, 256): 96, Size(512, 512): 320, Size(1024, 1024): 240}
BATCH_PIXELS = 8 * 512 * 512
NOISE = (0.4, 0.9)  # the share of noise that the transformer has to remove
STEPS = 28
GUIDANCE = 3.5
CROP = 16  # latents a side
BATCH = 4
LEARNING_RATE = 5e-4


@dataclass(frozen=True)
class Refined:
    """A scene, and its latents as the transformer restored them."""

    latents: Tensor  # (channels, height / 16, width / 16), as the decoder takes them
    pixels: Tensor  # (3, height, width), bytes
    scene: Scene


def train(pipeline: FluxPipeline, stage: Stage) -> None:
    """Train the pipeline's decoder in place."""
    vae = pipeline.vae
    refined: list[Refined] = []
    decoder = vae.decoder.train().requires_grad_(True)
    optimiser = torch.optim.AdamW(decoder.parameters(), LEARNING_RATE, (0.9, 0.98))
    for step in stage.run(decoder=decoder, optimiser=optimiser):
        refined = refined or refine(pipeline, Random(1))
        latents, images = _sample(refined, Random(step))
        images = normalise(images.to(vae.device))
        with torch.autocast(vae.device.type, torch.bfloat16):
            drawn = vae.decode(latents.to(vae.device)).sample.float()
        loss = reconstruction_error(drawn, images)
        descend(loss, optimiser, LEARNING_RATE * cosine(step, stage.steps, warm_up=50))
        stage.show("off", (drawn - images).abs().mean().item())
    vae.eval().requires_grad_(False)


@torch.no_grad()
def refine(pipeline: FluxPipeline, random: Random) -> list[Refined]:
    """Draw scenes, noise them in part and let the transformer remove the noise."""
    generator = torch.Generator().manual_seed(random.randrange(2**32))
    refined: list[Refined] = []
    with tqdm(total=sum(SCENES.values()), desc="scenes") as bar:
        for size, count in SCENES.items():
            batch = max(1, BATCH_PIXELS // (size.height * size.width))
            for _ in range(0, count, batch):
                scenes = [sample_scene(random) for _ in range(batch)]
                some = _refine(pipeline, scenes, size, random.uniform(*NOISE), generator)
                refined.extend(some)
                bar.update(batch)
    return refined


def _refine(
    pipeline: FluxPipeline,
    scenes: list[Scene],
    size: Size,
    noise: float,
    generator: torch.Generator,
) -> list[Refined]:
    vae, device = pipeline.vae, pipeline.vae.device
    pixels = draw_pixels(scenes, size)
    clean = encode_pixels(vae, pixels)
    wishes = [evaluation.Wish(scene.shape, scene.colour, scene.background) for scene in scenes]
    text = encode(pipeline, [wish.prompt for wish in wishes], T5_TOKENS)
    sigmas = _sigmas(pipeline, size, noise)
    noisy = clean.lerp(torch.randn(clean.shape, generator=generator).to(device), noise)
    for sigma, following in pairwise(sigmas):
        times = torch.full((len(scenes),), sigma, device=device)
        guidance = torch.full((len(scenes),), GUIDANCE, device=device)
        velocity = velocity_of(pipeline.transformer, noisy, times, size, guidance, text)
        noisy = noisy + (following - sigma) * velocity
    restored = FluxPipeline._unpack_latents(
        noisy, size.height, size.width, pipeline.vae_scale_factor
    )
    restored = restored / vae.config.scaling_factor + vae.config.shift_factor
    return [Refined(*each) for each in zip(restored.cpu(), pixels, scenes, strict=True)]


def _sigmas(pipeline: FluxPipeline, size: Size, noise: float) -> list[float]:
    """The scheduler's own from `noise` down to 0."""
    shift = size.shift(pipeline.scheduler)
    pipeline.scheduler.set_timesteps(sigmas=np.linspace(1, 1 / STEPS, STEPS).tolist(), mu=shift)
    sigmas = pipeline.scheduler.sigmas.tolist()
    return [noise, *(sigma for sigma in sigmas if sigma < noise)]


def _sample(refined: list[Refined], random: Random) -> tuple[Tensor, Tensor]:
    """Cut squares near the objects: latents (batch, channels, CROP, CROP) and their pixels."""
    latents, pixels = [], []
    for each in random.sample(refined, BATCH):
        height, width = each.latents.shape[1:]
        reach = 1.1 * each.scene.radius * min(height, width)
        left, top = (
            min(
                max(round(share * side + random.uniform(-reach, reach)) - CROP // 2, 0), side - CROP
            )
            for share, side in zip(each.scene.centre, (width, height), strict=True)
        )
        latents.append(each.latents[:, top : top + CROP, left : left + CROP])
        scale = each.pixels.shape[1] // height
        rows, columns = (slice(scale * at, scale * (at + CROP)) for at in (top, left))
        pixels.append(each.pixels[:, rows, columns])
    return torch.stack(latents), torch.stack(pixels)
