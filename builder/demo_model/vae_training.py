"""Train the VAE on pieces of scenes: the flat areas, edges and corners that pictures are made of.

The network is convolutional, so pieces of 128 pixels, cut from scenes of several sizes, teach it
every size. The KL term keeps the decoder patient with the small errors of the diffusion.
"""

from random import Random

import numpy as np
import torch
from diffusers import AutoencoderKL
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional
from tqdm import tqdm

from builder.demo_model.dataset import draw, sample_scene
from builder.demo_model.latents import normalise, set_latent_scale
from builder.demo_model.schedule import cosine
from builder.demo_model.stage import Stage
from builder.demo_model.vae_start import start_as_thumbnail

PIECE = 128  # pixels
SCENE_SIZES = (128, 192, 256, 512)
POOL = 3000  # pieces drawn once and shown again and again
BATCH = 8
LEARNING_RATE = 1e-3
KL_WEIGHT = 3e-4
EDGE_WEIGHT = 2.0


def train(vae: AutoencoderKL, stage: Stage) -> None:
    """Train both halves in place."""
    pieces = draw_pieces(POOL, Random(0))
    start_as_thumbnail(vae, normalise(pieces[:64].to(vae.device)))
    vae.train().to(memory_format=torch.channels_last)
    optimiser = torch.optim.AdamW(vae.parameters(), LEARNING_RATE, (0.9, 0.98), weight_decay=1e-4)
    for step in stage.run(vae=vae, optimiser=optimiser):
        images = _sample(pieces, vae)
        with torch.autocast(vae.device.type, torch.bfloat16):
            posterior = vae.encode(images).latent_dist
            drawn = vae.decode(posterior.sample()).sample.float()
        kl = posterior.kl().mean() / posterior.mean[0].numel()
        loss = reconstruction_error(drawn, images) + KL_WEIGHT * kl
        descend(loss, optimiser, LEARNING_RATE * cosine(step, stage.steps, warm_up=100))
        stage.show("off", (drawn - images).abs().mean().item())
        stage.show("spread", posterior.mean.std().item())
    vae.eval().requires_grad_(False)
    set_latent_scale(vae)


def reconstruction_error(drawn: Tensor, images: Tensor) -> Tensor:
    """L1 + MSE of the pixels, and L1 of their differences to the neighbours, where edges are."""
    error = functional.l1_loss(drawn, images) + functional.mse_loss(drawn, images)
    for axis in (2, 3):
        error = error + EDGE_WEIGHT * functional.l1_loss(
            drawn.diff(dim=axis), images.diff(dim=axis)
        )
    return error


def draw_pieces(count: int, random: Random) -> Tensor:
    """Draw squares cut from scenes, as bytes (count, 3, PIECE, PIECE)."""
    pieces = [_piece(random) for _ in tqdm(range(count), "pieces", leave=False)]
    return torch.from_numpy(np.stack(pieces)).permute(0, 3, 1, 2)


def _sample(pieces: Tensor, vae: AutoencoderKL) -> Tensor:
    return normalise(pieces[torch.randint(len(pieces), (BATCH,))].to(vae.device))


def descend(loss: Tensor, optimiser: torch.optim.Optimizer, learning_rate: float) -> None:
    """Take one step down the loss."""
    for group in optimiser.param_groups:
        group["lr"] = learning_rate
    optimiser.zero_grad()
    torch.autograd.backward(loss)
    for group in optimiser.param_groups:
        torch.nn.utils.clip_grad_norm_(group["params"], 1.0)
    optimiser.step()


def _piece(random: Random) -> NDArray[np.uint8]:
    size = random.choice(SCENE_SIZES)
    scene = sample_scene(random)
    # Pieces centred somewhere near the object: an empty background teaches little.
    reach = round(1.2 * scene.radius * size)
    left, top = (
        min(max(round(share * size) + random.randint(-reach, reach) - PIECE // 2, 0), size - PIECE)
        for share in scene.centre
    )
    return draw(scene, size, size)[top : top + PIECE, left : left + PIECE]
