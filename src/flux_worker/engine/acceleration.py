"""Makes a loaded pipeline run as the plan says."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from diffusers import FluxPipeline, FluxTransformer2DModel
from diffusers.hooks import apply_group_offloading
from torch import Tensor, nn
from torch.fx.experimental import _config as shapes
from torch.nn.attention import activate_flash_attention_impl

from flux_worker.engine import compile_cache, modulation
from flux_worker.engine.fusion import fuse_projections
from flux_worker.engine.memory import TILE_SIDE
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
    if plan.vae_tiling:
        pipe.vae.enable_tiling()
        pipe.vae.tile_sample_min_size = TILE_SIDE
        pipe.vae.tile_latent_min_size = TILE_SIDE // pipe.vae_scale_factor
    _place(pipe, plan, device)
    if plan.transformer == "resident":
        modulation.hoist(pipe)
    if device.type == "cuda":
        attend(transformer, plan.attention)
        # cuDNN's convolutions want it; on a CPU it is slower.
        pipe.vae.to(memory_format=torch.channels_last)
    if plan.compile and not (cache and compile_cache.install(transformer, plan, cache)):
        compile_blocks(transformer)


def compile_blocks(transformer: FluxTransformer2DModel) -> None:
    """Compile each kind of block once, for every size.

    Lengths are dynamic from the start: compiled for one size first, the second would cost another
    compilation, and the third one more.
    """
    # Else two lengths that are equal at first, of the text and of the image, must stay equal.
    shapes.use_duck_shape = False
    transformer.compile_repeated_blocks(fullgraph=True, dynamic=True)
    _give_slices(transformer.single_transformer_blocks[0])


def _give_slices(first: nn.Module) -> None:
    """Give the first single block what the others get: text and image as slices of one tensor.

    Other strides are another graph, which would be compiled for this block alone.
    """
    compiled: Callable[..., Any] = first._compiled_call_impl  # type: ignore[assignment]

    def call(hidden_states: Tensor, encoder_hidden_states: Tensor, **others: Any) -> Any:
        states = torch.cat([encoder_hidden_states, hidden_states], dim=1)
        text = encoder_hidden_states.shape[1]
        return compiled(
            hidden_states=states[:, text:], encoder_hidden_states=states[:, :text], **others
        )

    first._compiled_call_impl = call


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
    if device.type == "cuda":
        # What was fused and quantized there left gaps, too small for what a job takes.
        torch.cuda.empty_cache()


def attend(transformer: FluxTransformer2DModel, attention: Attention) -> None:
    """Compute the attention by this implementation from now on."""
    if attention in ("flash3", "flash4"):
        activate_flash_attention_impl(f"FA{attention[-1]}")
    transformer.set_attention_backend(DIFFUSERS_ATTENTION[attention])
