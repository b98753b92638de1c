"""Write the model as a FLUX checkpoint that FluxPipeline.from_pretrained loads."""

import copy
from pathlib import Path

import torch
from diffusers import FluxPipeline

BUDGET = 12_000_000  # bytes of all files together


def export(pipeline: FluxPipeline, folder: Path) -> int:
    """Save every component in bfloat16 safetensors and return the bytes written."""
    half = copy.deepcopy(pipeline).to("cpu", torch.bfloat16)
    half.save_pretrained(folder, safe_serialization=True)
    size = sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
    if size > BUDGET:
        raise ValueError(
            f"the checkpoint takes {size} bytes, more than {BUDGET}: use a smaller model"
        )
    return size
