"""Reads the large components' weights in parallel, straight to where they are used.

diffusers and transformers map the files into memory and load one component after the other, at the
speed of single page faults. Here several threads read large pieces of all files at once: through a
few pinned buffers to a GPU; on a CPU the files are mapped, too, but read ahead.
"""

import os
from collections.abc import Callable
from functools import partial
from pathlib import Path

import torch
from diffusers import FluxPipeline
from safetensors import safe_open
from torch import Tensor

from flux_worker.weights import components, prefetch
from flux_worker.weights.carrier import Carrier
from flux_worker.weights.checkpoint import DTYPES, Checkpoint, StoredTensor
from flux_worker.weights.layout import LARGE

Weights = dict[str, dict[str, Tensor]]
"""Tensors by component and name."""


def load(checkpoint: Checkpoint, device: torch.device, dtype: torch.dtype) -> FluxPipeline:
    """Load a checkpoint in diffusers' format.

    Its transformer and T5 are on the device then where they are stored in this dtype; all else is
    in host memory.

    Raises:
        Unusable: a tensor is missing, or isn't as the component's configuration has it.
    """
    folder = checkpoint.folder
    transformer = components.empty_transformer(checkpoint)
    t5 = components.empty_t5(checkpoint)
    clip, vae = components.clip(folder, dtype), components.vae(folder, dtype)
    weights = way_to(device, dtype, checkpoint)()
    transformer.load_state_dict(weights["transformer"], assign=True)
    t5.load_state_dict(weights["text_encoder_2"], strict=False, assign=True)
    t5.tie_weights()
    pipe: FluxPipeline = FluxPipeline.from_pretrained(
        folder,
        transformer=transformer.eval().requires_grad_(False),
        text_encoder=clip,
        text_encoder_2=t5.eval().requires_grad_(False),
        vae=vae,
        dtype=dtype,
        use_safetensors=True,
        local_files_only=True,
    )
    return pipe


def read(stored: StoredTensor) -> Tensor:
    """Read one tensor into host memory, as it is stored."""
    with safe_open(stored.file, "pt") as opened:
        tensor: Tensor = opened.get_tensor(stored.name)
    return tensor


def way_to(
    device: torch.device, dtype: torch.dtype, checkpoint: Checkpoint
) -> Callable[[], Weights]:
    """Choose how the large components get there: copied by `copied`, or mapped by `mapped`."""
    stored = {_dtype(tensor) for name in LARGE for tensor in checkpoint.tensors[name]}
    # What has to be converted first would have to fit into the device twice.
    if device.type != "cpu" and stored == {dtype}:
        return partial(copied, checkpoint, device)
    return partial(mapped, checkpoint, dtype)


def mapped(checkpoint: Checkpoint, dtype: torch.dtype) -> Weights:
    """Map the large components' files into memory, and have them read ahead."""
    with prefetch.reading(checkpoint.folder, to_the_end=True):
        files = {tensor.file for name in LARGE for tensor in checkpoint.tensors[name]}
        maps = {file: _map(file) for file in files}
        return {
            name: {
                tensor.name: _shaped(maps[tensor.file][tensor.begin : tensor.end], tensor).to(dtype)
                for tensor in checkpoint.tensors[name]
            }
            for name in LARGE
        }


def copied(checkpoint: Checkpoint, device: torch.device) -> Weights:
    """Copy the large components' tensors to the device, while other threads read the next."""
    weights: Weights = {name: {} for name in LARGE}
    with Carrier(device) as carrier:
        for name in LARGE:
            for tensor in checkpoint.tensors[name]:
                data = torch.empty(tensor.end - tensor.begin, dtype=torch.uint8, device=device)
                carrier.read(tensor.file, tensor.begin, data)
                weights[name][tensor.name] = _shaped(data, tensor)
    return weights


def _map(path: Path) -> Tensor:
    return torch.from_file(os.fspath(path), size=path.stat().st_size, dtype=torch.uint8)


def _shaped(data: Tensor, stored: StoredTensor) -> Tensor:
    dtype = _dtype(stored)
    if data.storage_offset() % dtype.itemsize:
        data = data.clone()
    return data.view(dtype).view(stored.shape)


def _dtype(stored: StoredTensor) -> torch.dtype:
    dtype: torch.dtype = getattr(torch, DTYPES[stored.dtype])
    return dtype
