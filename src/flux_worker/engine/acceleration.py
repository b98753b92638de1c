"""Makes a loaded pipeline run as the plan says."""

from collections.abc import Callable
from pathlib import Path

import torch
from diffusers import FluxPipeline, FluxTransformer2DModel
from diffusers.hooks import apply_group_offloading
from torch import nn
from torch.fx.experimental import _config as shapes
from torch.nn.attention import activate_flash_attention_impl

from flux_worker.engine import compile_cache, vae
from flux_worker.engine.plan import Attention, Plan
from flux_worker.weights.checkpoint import MODULATION

DIFFUSERS_ATTENTION = {
    "native": "native",
    "cudnn": "_native_cudnn",
    # torch's own kernels, but for what `activate_flash_attention_impl` puts in their place.
    "flash3": "_native_flash",
    "flash4": "_native_flash",
}


def apply(pipe: FluxPipeline, plan: Plan, device: torch.device, cache: Path | None = None) -> None:
    """Change the pipeline in place and move it to the device, for good.

    What is compiled is kept in `cache`, and taken from there.
    """
    transformer = pipe.transformer
    fuse_projections(transformer)
    if plan.precision == "fp8":
        quantize_transformer(transformer, plan, device)
    if plan.text_encoder == "fp8":
        _quantize(pipe.text_encoder_2, _is_linear, device, activations=False)
    _place(pipe, plan, device)
    if device.type == "cuda":
        attend(transformer, plan.attention)
    vae.prepare(pipe.vae, plan, cache)
    if plan.compile and not (cache and compile_cache.install(transformer, plan, cache)):
        compile_blocks(transformer)


def fuse_projections(transformer: FluxTransformer2DModel) -> None:
    """Compute query, key and value by one matrix each, and forget the three it is made of."""
    transformer.fuse_qkv_projections()
    fused = [each for each in transformer.modules() if getattr(each, "fused_projections", False)]
    for module in fused:
        for name in ("to_q", "to_k", "to_v", "add_q_proj", "add_k_proj", "add_v_proj"):
            if hasattr(module, name):
                delattr(module, name)


def compile_blocks(transformer: FluxTransformer2DModel) -> None:
    """Compile each kind of block once, for every size.

    Lengths are dynamic from the start: compiled for one size first, the second would cost another
    compilation, and the third one more.
    """
    # Else two lengths that are equal at first, of the text and of the image, must stay equal.
    shapes.use_duck_shape = False
    transformer.compile_repeated_blocks(fullgraph=True, dynamic=True)


def quantize_transformer(
    transformer: FluxTransformer2DModel, plan: Plan, device: torch.device
) -> None:
    """Hold the linear layers of the blocks in fp8, each output's weights with their own scale."""

    def chosen(module: nn.Module, name: str) -> bool:
        if not _is_linear(module, name) or "transformer_blocks." not in name:
            return False
        return plan.fp8_modulation or not MODULATION.search(name)

    _quantize(transformer, chosen, device, plan.fp8_activations)


def _is_linear(module: nn.Module, _: str) -> bool:
    return isinstance(module, nn.Linear)


Chosen = Callable[[nn.Module, str], bool]
"""Whether to quantize a module of that name."""


def _quantize(model: nn.Module, chosen: Chosen, device: torch.device, activations: bool) -> None:
    # Not above: the import takes seconds, and most plans need none of it.
    from torchao import quantization

    config = (
        quantization.Float8DynamicActivationFloat8WeightConfig(granularity=quantization.PerRow())
        if activations
        else quantization.Float8WeightOnlyConfig()
    )
    # Layer by layer on the device: the whole model in bf16 may not fit there.
    quantization.quantize_(model, config, chosen, device=device)


def _place(pipe: FluxPipeline, plan: Plan, device: torch.device) -> None:
    waiting = {"onload_device": device, "use_stream": device.type == "cuda"}
    if plan.transformer == "streamed":
        pipe.transformer.enable_group_offload(
            offload_type="block_level", num_blocks_per_group=1, **waiting
        )
    else:
        pipe.transformer.to(device)
    if plan.text_encoder == "offloaded":
        apply_group_offloading(pipe.text_encoder_2, offload_type="leaf_level", **waiting)
    else:
        pipe.text_encoder_2.to(device)
    pipe.text_encoder.to(device)
    pipe.vae.to(device)


def attend(transformer: FluxTransformer2DModel, attention: Attention) -> None:
    """Compute the attention by this implementation from now on."""
    if attention in ("flash3", "flash4"):
        activate_flash_attention_impl(f"FA{attention[-1]}")
    transformer.set_attention_backend(DIFFUSERS_ATTENTION[attention])
