"""Write the model as FluxKontextPipeline.from_pretrained loads it: a transformer, and links."""

import copy
import json
import os
from pathlib import Path

import torch
from diffusers import FluxTransformer2DModel

INDEX = "model_index.json"
OWN = "transformer"


def export(transformer: FluxTransformer2DModel, base: Path, folder: Path) -> int:
    """Save the transformer in bfloat16, link all else to the base's; return the bytes written."""
    half = copy.deepcopy(transformer).to("cpu", torch.bfloat16)
    half.save_pretrained(folder / OWN, safe_serialization=True)
    index = json.loads((base / INDEX).read_text())
    for component in sorted(base.iterdir()):
        link = folder / component.name
        if component.is_dir() and component.name != OWN:
            link.unlink(missing_ok=True)
            link.symlink_to(os.path.relpath(component, folder))
    index["_class_name"] = "FluxKontextPipeline"
    (folder / INDEX).write_text(json.dumps(index, indent=2) + "\n")
    return sum(file.stat().st_size for file in (folder / OWN).iterdir())
