"""Brings the model to where the plan has it: on the card, or in host memory beside it.

It is never whole on the card before it is as small there as the plan says: the transformer comes
block by block, and T5 layer by layer.
"""

from typing import Any

import torch
from diffusers import FluxPipeline, FluxTransformer2DModel
from diffusers.hooks import apply_group_offloading
from torch import nn

from flux_worker.engine.block_packages import blocks
from flux_worker.engine.fusion import fuse_projections
from flux_worker.engine.plan import Plan
from flux_worker.engine.quantization import quantize_block, quantize_text_encoder

HOST = torch.device("cpu")


def place(pipe: FluxPipeline, plan: Plan, device: torch.device) -> None:
    """Fuse and quantize the pipeline's parts, and move each to where it stays or waits."""
    _place_transformer(pipe.transformer, plan, device)
    _place_text_encoder(pipe.text_encoder_2, plan, device)
    pipe.text_encoder.to(device)
    pipe.vae.to(device)
    if device.type == "cuda":
        # What was fused and quantized there left gaps, too small for what a job takes.
        torch.cuda.empty_cache()


def _place_transformer(
    transformer: FluxTransformer2DModel, plan: Plan, device: torch.device
) -> None:
    streamed = plan.transformer == "streamed"
    home = HOST if streamed else device
    for block in blocks(transformer):
        block.to(device if plan.is_quantized else home)
        fuse_projections(block)
        if plan.is_quantized:
            quantize_block(block, plan)
            block.to(home)
    if streamed:
        transformer.enable_group_offload(
            offload_type="block_level", num_blocks_per_group=1, **_waiting_for(device)
        )
    else:
        transformer.to(device)


def _place_text_encoder(model: nn.Module, plan: Plan, device: torch.device) -> None:
    if plan.text_encoder == "offloaded":
        apply_group_offloading(model, offload_type="leaf_level", **_waiting_for(device))
        return
    if plan.text_encoder == "fp8":
        quantize_text_encoder(model, device)
    model.to(device)


def _waiting_for(device: torch.device) -> dict[str, Any]:
    return {"onload_device": device, "use_stream": device.type == "cuda"}
