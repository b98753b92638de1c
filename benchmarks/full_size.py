"""FLUX.1 at its full size with random weights: nothing is downloaded, no text is encoded."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from diffusers import (
    AutoencoderKL,
    FlowMatchEulerDiscreteScheduler,
    FluxPipeline,
    FluxTransformer2DModel,
)
from torch import Tensor, nn
from transformers import CLIPTextConfig, CLIPTextModel, T5Config, T5EncoderModel

from flux_worker.weights.checkpoint import Checkpoint, ParameterCounts, StoredTensor

SPREAD = 0.02
"""Standard deviation of the weights: from 0.1 on activations overflow; zeros flatter the speed."""
TEXT_ENCODERS = {
    "text_encoder": {"all": (123_060_480,)},
    "text_encoder_2": {"shared.weight": (131_596_288,), "others": (4_630_714_368,)},
}
"""Parameters of CLIP and T5 in FLUX.1's checkpoints, for which the worker's plan leaves room."""


@dataclass(frozen=True)
class Architecture:
    """What is built; the defaults are FLUX.1's."""

    guidance: bool = True
    text_tokens: int = 512
    steps: int = 28
    transformer: dict[str, Any] = field(default_factory=dict)
    vae_widths: tuple[int, ...] = (128, 256, 512, 512)

    def empty(self) -> tuple[FluxTransformer2DModel, AutoencoderKL]:
        """Build the models without memory for their weights."""
        with torch.device("meta"):
            transformer = FluxTransformer2DModel(guidance_embeds=self.guidance, **self.transformer)
            vae = AutoencoderKL(
                down_block_types=["DownEncoderBlock2D"] * 4,
                up_block_types=["UpDecoderBlock2D"] * 4,
                block_out_channels=self.vae_widths,
                layers_per_block=2,
                latent_channels=16,
                use_quant_conv=False,
                use_post_quant_conv=False,
                scaling_factor=0.3611,
                shift_factor=0.1159,
            )
        return transformer, vae

    def count(self) -> ParameterCounts:
        """Count the parameters, with FLUX.1's text encoders, as of a checkpoint."""
        transformer, vae = self.empty()
        shapes: dict[str, Mapping[str, tuple[int, ...]]] = {
            "transformer": {k: tuple(v.shape) for k, v in transformer.named_parameters()},
            "vae": {k: tuple(v.shape) for k, v in vae.named_parameters()},
            **TEXT_ENCODERS,
        }
        return Checkpoint(
            Path(),
            {
                component: tuple(
                    StoredTensor(name, "BF16", shape, Path(), 0, 0) for name, shape in named.items()
                )
                for component, named in shapes.items()
            },
        ).count()


DEV = Architecture()
SCHNELL = Architecture(guidance=False, text_tokens=256, steps=4)
TINY = Architecture(  # of one kind of block: each kind is compiled anew in every row
    text_tokens=16,
    steps=4,
    transformer={
        "num_layers": 0,
        "num_single_layers": 2,
        "attention_head_dim": 16,
        "num_attention_heads": 2,
        "axes_dims_rope": (4, 6, 6),
        "joint_attention_dim": 32,
        "pooled_projection_dim": 16,
    },
    vae_widths=(32, 32, 32, 32),
)


def build(
    architecture: Architecture,
    device: torch.device,
    dtype: torch.dtype,
    home: torch.device | None = None,
) -> FluxPipeline:
    """Build a pipeline, always with the same weights: drawn on the device, kept there or at home.

    The text encoders are the smallest of their classes, and never run.
    """
    models = architecture.empty()
    for model in models:
        drawn = dict(_draw(model, device, dtype, home or device))
        model.load_state_dict(drawn, assign=True)
    transformer, vae = (model.requires_grad_(False).eval() for model in models)
    text_encoders = [encoder.to(home or device, dtype) for encoder in _stand_ins()]
    pipe = FluxPipeline(
        scheduler=FlowMatchEulerDiscreteScheduler(use_dynamic_shifting=architecture.guidance),
        vae=vae,
        transformer=transformer,
        text_encoder=text_encoders[0],
        text_encoder_2=text_encoders[1],
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


def _draw(
    model: nn.Module, device: torch.device, dtype: torch.dtype, home: torch.device
) -> Iterator[tuple[str, Tensor]]:
    for number, (name, parameter) in enumerate(model.named_parameters()):
        drawn = torch.ones(parameter.shape, device=device, dtype=dtype)
        if parameter.dim() > 1 or not name.endswith("weight"):  # else it is a norm's
            generator = torch.Generator(device).manual_seed(number)
            drawn.normal_(0, SPREAD, generator=generator)
        yield name, drawn.to(home)


def _stand_ins() -> tuple[nn.Module, nn.Module]:
    small = {"vocab_size": 8, "hidden_size": 8, "intermediate_size": 8}
    ends = {"bos_token_id": 0, "eos_token_id": 1}
    clip = CLIPTextConfig(**small, **ends, num_hidden_layers=1, num_attention_heads=1)
    t5 = T5Config(vocab_size=8, d_model=8, d_kv=8, d_ff=8, num_layers=1, num_heads=1)
    return CLIPTextModel(clip), T5EncoderModel(t5)
