"""Brings the model to where the plan has it: on the card, or in host memory beside it.

It is never whole on the card before it is as small there as the plan says: the transformer comes
block by block, and so does T5 where it is quantized.
"""

from typing import Any

import torch
from diffusers import FluxPipeline, FluxTransformer2DModel
from diffusers.hooks import apply_group_offloading
from transformers import T5EncoderModel

from flux_worker.engine import modulation
from flux_worker.engine.block_packages import blocks
from flux_worker.engine.fusion import fuse_projections
from flux_worker.engine.plan import Plan
from flux_worker.engine.quantization import quantize_block, quantize_text_encoder_block
from flux_worker.weights.carrier import Carrier

HOST = torch.device("cpu")


def place(pipe: FluxPipeline, plan: Plan, device: torch.device) -> None:
    """Fuse and quantize the pipeline's parts, and move each to where it stays or waits."""
    if plan.transformer == "resident":
        modulation.hoist(pipe, device, plan)
    with Carrier(device) as carrier:
        _place_transformer(pipe.transformer, plan, carrier)
        _place_text_encoder(pipe.text_encoder_2, plan, carrier)
    pipe.text_encoder.to(device)
    pipe.vae.to(device)
    if device.type == "cuda":
        # What was fused and quantized there left gaps, too small for what a job takes.
        torch.cuda.empty_cache()


def _place_transformer(transformer: FluxTransformer2DModel, plan: Plan, carrier: Carrier) -> None:
    streamed = plan.transformer == "streamed"
    for block in blocks(transformer):
        if plan.is_quantized or not streamed:
            carrier.move(block)
        fuse_projections(block)
        if plan.is_quantized:
            quantize_block(block, plan)
        if streamed:
            block.to(HOST)
    if streamed:
        transformer.enable_group_offload(
            offload_type="block_level", num_blocks_per_group=1, **_waiting_for(carrier.device)
        )
    else:
        carrier.move(transformer)


def _place_text_encoder(model: T5EncoderModel, plan: Plan, carrier: Carrier) -> None:
    if plan.text_encoder == "offloaded":
        apply_group_offloading(model, offload_type="leaf_level", **_waiting_for(carrier.device))
        return
    if plan.text_encoder == "fp8":
        for block in model.encoder.block:
            carrier.move(block)
            quantize_text_encoder_block(block)
    carrier.move(model)


def _waiting_for(device: torch.device) -> dict[str, Any]:
    return {"onload_device": device, "use_stream": device.type == "cuda"}
