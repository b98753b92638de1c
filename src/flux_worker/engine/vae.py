"""How the VAE runs on this card: its decoder compiled, and both in tiles, as the plan says."""

from pathlib import Path

import torch
from diffusers import AutoencoderKL

from flux_worker.engine import compile_cache
from flux_worker.engine.block_packages import Calls
from flux_worker.engine.compile_cache import Code
from flux_worker.engine.plan import Plan
from flux_worker.engine.tiles import Tiled


def prepare(vae: AutoencoderKL, plan: Plan, cache: Path | None = None) -> Code | None:
    """Have the VAE, which is on its device, decode and encode as planned.

    The compiled decoder is kept in `cache`, and taken from there. Without one it isn't compiled:
    every cold start would wait for that.

    Returns where the decoder's code comes from; None where that isn't compiled.
    """
    code = _compile_decoder(vae, cache) if plan.compile and cache else None
    if plan.vae_tiling:
        vae.decoder = Tiled(vae.decoder, _scale(vae))
        vae.encoder = Tiled(vae.encoder, _scale(vae), encodes=True)
    return code


def _compile_decoder(vae: AutoencoderKL, cache: Path) -> Code | None:
    if vae.device.type == "cuda":
        # As cuDNN's convolutions want it. Inductor leaves the layout alone where lengths are open,
        # and fuses norms that write it; uncompiled they would copy every state there and back.
        vae.decoder.to(memory_format=torch.channels_last)
    code = compile_cache.install_decoder(vae, lambda fewer: example_calls(vae, fewer), cache)
    if not code:
        vae.decoder.to(memory_format=torch.contiguous_format)
        return None
    package = vae.decoder.forward
    # A package takes whatever it gets for contiguous, which a tile isn't, and wants it named.
    vae.decoder.forward = lambda sample: package(sample=sample.contiguous())
    return code


def example_calls(vae: AutoencoderKL, fewer: int = 0) -> Calls:
    """Return a call of the decoder, with that many rows and columns of latents fewer.

    The size is a usual one, 1152×896, which every card decodes whole.
    """
    rows, columns = (112, 144) if vae.device.type == "cuda" else (16, 18)
    shape = (1, vae.config.latent_channels, rows - fewer, columns - fewer)
    return {
        type(vae.decoder).__name__: {
            "sample": torch.randn(shape, device=vae.device, dtype=vae.dtype),
        }
    }


def _scale(vae: AutoencoderKL) -> int:
    """Return how many pixels a latent's side has."""
    return int(2 ** (len(vae.config.block_out_channels) - 1))
