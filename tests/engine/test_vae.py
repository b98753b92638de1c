"""The VAE decodes as planned."""

import pytest
import torch
from conftest import DEMO
from diffusers import AutoencoderKL

from flux_worker.engine import vae
from flux_worker.engine.plan import Plan

pytestmark = pytest.mark.real


def load(**planned):
    model = AutoencoderKL.from_pretrained(DEMO / "vae").eval()
    vae.prepare(model, Plan("fp32", **planned))
    return model


@pytest.fixture(scope="module")
def plain():
    return AutoencoderKL.from_pretrained(DEMO / "vae").eval()


@pytest.fixture(scope="module")
def tiled():
    return load(vae_tiling=True)


@pytest.fixture(scope="module")
def latents(plain):
    """Latents (1, channels, height, width) of an image of these sides: discs on white, in rows."""
    across = torch.linspace(-1, 1, 256)
    disc = across**2 + across[:, None] ** 2 < 0.4
    picture = torch.where(disc, torch.tensor([1.0, -1.0, -1.0]).view(1, 3, 1, 1), 1.0)
    with torch.no_grad():
        one = plain.encode(picture).latent_dist.mean

    def of(width, height):
        many = one.repeat(1, 1, -(-height // 256), -(-width // 256))
        return many[..., : height // 16, : width // 16]

    return of


@torch.no_grad()
def levels(model, latents):
    """A picture's levels, 0 to 255."""
    return (model.decode(latents).sample + 1) * 127.5


def test_up_to_the_default_size_a_tiled_vae_decodes_the_same(plain, tiled, latents):
    given = latents(640, 512)
    assert torch.equal(levels(tiled, given), levels(plain, given))


def test_a_larger_picture_is_nearly_the_same_in_tiles(plain, tiled, latents):
    given = latents(1280, 1024)
    difference = (levels(tiled, given) - levels(plain, given)).abs().mean()
    assert 0 < difference < 1
