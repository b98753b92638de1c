"""Start the VAE as a plain thumbnail: averaging on the way down, enlarging on the way up.

From random weights the five levels first have to find out how to pass a colour through; a
thousand steps go by before they do. Here every residual block starts as the identity and colours
have their way laid, so that training begins with the edges.
"""

import torch
from diffusers import AutoencoderKL
from torch import Tensor, nn

COLOUR = slice(0, 3)
NEGATIVE = slice(3, 6)  # SiLU(x) - SiLU(-x) = x, so a pair of channels passes a value unbent
REFERENCE = (6, 7)  # constants that keep the group normalisation's scale nearly the same
REFERENCE_LEVEL = 3.0
START_LOG_VARIANCE = -4.0


@torch.no_grad()
def start_as_thumbnail(vae: AutoencoderKL, images: Tensor) -> None:
    """Set the weights in place; channels without a role keep their random weights.

    The images (batch, 3, height, width) in -1…1 set the scale of the latents and of the output.
    """
    for module in vae.modules():
        if hasattr(module, "conv_shortcut"):  # a residual block
            nn.init.zeros_(module.conv2.weight)
            nn.init.zeros_(module.conv2.bias)
            if module.conv_shortcut is not None:
                _pass_through(module.conv_shortcut, slice(0, 1), slice(0, 1))
    for block in vae.encoder.down_blocks:
        for sampler in block.downsamplers or ():
            _pass_through(sampler.conv, slice(0, 2), slice(0, 2))
    for block in vae.decoder.up_blocks:
        for sampler in block.upsamplers or ():
            _pass_through(sampler.conv, slice(1, 2), slice(1, 2))
    for half in (vae.encoder, vae.decoder):
        _read_in(half.conv_in)
        _read_out(half.conv_out)
    vae.encoder.conv_out.bias[vae.config.latent_channels :] = START_LOG_VARIANCE
    latents = vae.encode(images).latent_dist.mean
    vae.encoder.conv_out.weight[COLOUR] /= latents[:, COLOUR].std()
    drawn = vae.decode(vae.encode(images).latent_dist.mean).sample
    vae.decoder.conv_out.weight *= (drawn * images).sum() / drawn.square().sum()


def _pass_through(conv: nn.Conv2d, rows: slice, columns: slice) -> None:
    """Copy each channel, averaged over the given taps of the kernel."""
    outputs, inputs = conv.weight.shape[:2]
    _bias(conv).zero_()
    roles = REFERENCE[1] + 1
    conv.weight[:roles] = 0
    taps = conv.weight[0, 0, rows, columns].numel()
    for channel in range(min(outputs, inputs)):
        conv.weight[channel, channel, rows, columns] += 1 / taps


def _read_in(conv: nn.Conv2d) -> None:
    """Bring the first three inputs in as pairs, beside the references."""
    conv.weight[: REFERENCE[1] + 1] = 0
    _bias(conv).zero_()
    middle = conv.weight[:, :, 1, 1]
    middle[COLOUR, COLOUR] = torch.eye(3)
    middle[NEGATIVE, COLOUR] = -torch.eye(3)
    _bias(conv)[list(REFERENCE)] = torch.tensor([REFERENCE_LEVEL, -REFERENCE_LEVEL])


def _read_out(conv: nn.Conv2d) -> None:
    """Join the pairs again in the first three outputs."""
    conv.weight[COLOUR] = 0
    _bias(conv).zero_()
    middle = conv.weight[:, :, 1, 1]
    middle[COLOUR, COLOUR] = torch.eye(3)
    middle[COLOUR, NEGATIVE] = -torch.eye(3)


def _bias(conv: nn.Conv2d) -> Tensor:
    if conv.bias is None:
        raise TypeError("the VAE's convolutions all have a bias")
    return conv.bias
