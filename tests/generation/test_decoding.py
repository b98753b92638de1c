"""Latents to pixels."""

import numpy as np
import pytest
import torch

from flux_worker.generation import decoding


def test_the_range_of_an_image_is_that_of_pixels():
    image = torch.tensor([-1.0, 0.0, 1.0, -3.0, 3.0, 0.5]).view(1, 1, 2, 3).expand(1, 3, 2, 3)
    pixels = decoding.to_pixels(image)
    assert (pixels.shape, pixels.dtype) == ((2, 3, 3), np.uint8)
    assert pixels[..., 0].tolist() == [[0, 128, 255], [0, 255, 191]]


def test_channels_come_last_in_the_order_of_the_image():
    image = torch.stack([torch.full((2, 2), level) for level in (-1.0, 0.0, 1.0)])[None]
    assert decoding.to_pixels(image)[0, 0].tolist() == [0, 128, 255]


@pytest.mark.parametrize(("width", "height"), [(256, 256), (512, 256)])
def test_unpacking_is_the_reverse_of_packing(pipe, width, height):
    scale = pipe.vae_scale_factor
    latents = torch.randn(1, pipe.vae.config.latent_channels, height // scale, width // scale)
    packed = pipe._pack_latents(latents, *latents.shape)
    assert torch.equal(decoding.unpack(pipe, packed, width, height), latents)


def test_latents_are_scaled_and_shifted_as_the_vae_says(pipe, monkeypatch):
    given = []
    monkeypatch.setattr(pipe.vae, "decode", lambda latents, **_: given.append(latents) or (None,))
    latents = torch.randn(1, 4, 2, 2)
    decoding.decode(pipe, latents)
    config = pipe.vae.config
    expected = latents / config.scaling_factor + config.shift_factor
    assert torch.allclose(given[0], expected)
