"""FLUX.1 at its full size with random weights: nothing is downloaded, no text is encoded."""

from dataclasses import dataclass, field
from typing import Any

import torch
from diffusers import (
    AutoencoderKL,
    FlowMatchEulerDiscreteScheduler,
    FluxPipeline,
    FluxTransformer2DModel,
)
from torch import Tensor, nn

SPREAD = 0.02
"""Standard deviation of the weights: from 0.1 on activations overflow; zeros flatter the speed."""


@dataclass(frozen=True)
class Architecture:
    """What is built; the defaults are FLUX.1's."""

    guidance: bool = True
    text_tokens: int = 512
    steps: int = 28
    transformer: dict[str, Any] = field(default_factory=dict)
    vae_widths: tuple[int, ...] = (128, 256, 512, 512)


DEV = Architecture()
SCHNELL = Architecture(guidance=False, text_tokens=256, steps=4)
TINY = Architecture(
    text_tokens=16,
    steps=4,
    transformer={
        "num_layers": 1,
        "num_single_layers": 2,
        "attention_head_dim": 16,
        "num_attention_heads": 2,
        "axes_dims_rope": (4, 6, 6),
        "joint_attention_dim": 32,
        "pooled_projection_dim": 16,
    },
    vae_widths=(32, 32, 32, 32),
)


def build(architecture: Architecture, device: torch.device, dtype: torch.dtype) -> FluxPipeline:
    """Build a pipeline without text encoders, always with the same weights."""
    with torch.device("meta"):
        transformer = FluxTransformer2DModel(
            guidance_embeds=architecture.guidance, **architecture.transformer
        )
        vae = AutoencoderKL(
            down_block_types=["DownEncoderBlock2D"] * 4,
            up_block_types=["UpDecoderBlock2D"] * 4,
            block_out_channels=architecture.vae_widths,
            layers_per_block=2,
            latent_channels=16,
            use_quant_conv=False,
            use_post_quant_conv=False,
            scaling_factor=0.3611,
            shift_factor=0.1159,
        )
    for model in (transformer, vae):
        _fill(model.to(dtype).to_empty(device=device))
    pipe = FluxPipeline(
        scheduler=FlowMatchEulerDiscreteScheduler(use_dynamic_shifting=architecture.guidance),
        vae=vae.eval(),
        transformer=transformer.eval(),
        text_encoder=None,
        text_encoder_2=None,
        tokenizer=None,
        tokenizer_2=None,
    )
    pipe.set_progress_bar_config(disable=True)
    return pipe


def embeddings(
    architecture: Architecture, device: torch.device, dtype: torch.dtype
) -> dict[str, Tensor]:
    """Return what the text encoders would give, always the same."""
    generator = torch.Generator(device).manual_seed(1)
    width = architecture.transformer.get("joint_attention_dim", 4096)
    pooled_width = architecture.transformer.get("pooled_projection_dim", 768)

    def draw(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator, device=device, dtype=dtype)

    return {
        "prompt_embeds": draw(1, architecture.text_tokens, width),
        "pooled_prompt_embeds": draw(1, pooled_width),
    }


@torch.no_grad()
def _fill(model: nn.Module) -> None:
    for number, (name, parameter) in enumerate(model.named_parameters()):
        if parameter.dim() == 1 and name.endswith("weight"):
            parameter.fill_(1)  # a norm's
        else:
            generator = torch.Generator(parameter.device).manual_seed(number)
            parameter.normal_(0, SPREAD, generator=generator)
