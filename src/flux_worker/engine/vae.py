"""How the VAE decodes on this card."""

from diffusers import AutoencoderKL

from flux_worker.engine.plan import Plan
from flux_worker.engine.tiles import Tiled


def prepare(vae: AutoencoderKL, plan: Plan) -> None:
    """Have the VAE, which is on its device, decode as planned."""
    if plan.vae_tiling:
        scale = 2 ** (len(vae.config.block_out_channels) - 1)
        vae.decoder = Tiled(vae.decoder, scale)
