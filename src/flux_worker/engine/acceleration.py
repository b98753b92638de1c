"""Makes a loaded pipeline run as the plan says."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from diffusers import FluxPipeline, FluxTransformer2DModel
from torch import Tensor, nn
from torch.fx.experimental import _config as shapes
from torch.nn.attention import activate_flash_attention_impl

from flux_worker.engine import compile_cache, vae
from flux_worker.engine.placement import place
from flux_worker.engine.plan import Attention, Plan
from flux_worker.telemetry.start import Start

DIFFUSERS_ATTENTION = {
    "native": "native",
    "cudnn": "_native_cudnn",
    # torch's own kernels, but for what `activate_flash_attention_impl` puts in their place.
    "flash3": "_native_flash",
    "flash4": "_native_flash",
}


def apply(
    pipe: FluxPipeline,
    plan: Plan,
    device: torch.device,
    cache: Path | None = None,
    start: Start | None = None,
) -> None:
    """Change the pipeline in place and move it to the device, for good.

    What is compiled is kept in `cache`, and taken from there. `start` times the two stages.
    """
    start = start or Start()
    transformer = pipe.transformer
    with start.stage("device") as said:
        on_gpu = device.type == "cuda"
        said["device"] = torch.cuda.get_device_name(device) if on_gpu else device.type
        said["plan"] = str(plan)
        place(pipe, plan, device)
        if on_gpu:
            attend(transformer, plan.attention)
    with start.stage("compile") as said:
        said["decoder"] = vae.prepare(pipe.vae, plan, cache) or "eager"
        said["blocks"] = "eager"
        if plan.compile:
            code = compile_cache.install(transformer, plan, cache) if cache else None
            said["blocks"] = code or "just-in-time"
            if not code:
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


def attend(transformer: FluxTransformer2DModel, attention: Attention) -> None:
    """Compute the attention by this implementation from now on."""
    if attention in ("flash3", "flash4"):
        activate_flash_attention_impl(f"FA{attention[-1]}")
    transformer.set_attention_backend(DIFFUSERS_ATTENTION[attention])
