"""Write an adapter as the trainers of FLUX's LoRAs do, and read it again.

Layout and keys are diffusers' (`FluxPipeline.save_lora_weights`), which ai-toolkit writes too; the
metadata are those of https://github.com/Stability-AI/ModelSpec.
"""

from pathlib import Path

from safetensors.torch import load_file, save_file

from builder.demo_loras.adapter import Pairs

PREFIX, DOWN, UP = "transformer.", ".lora_A.weight", ".lora_B.weight"
BUDGET = 300_000  # bytes of all the demo's LoRAs together


def export(pairs: Pairs, path: Path, title: str, trigger: str | None = None) -> None:
    """Save the pairs in float16, with the word that calls up what they draw, if there is one."""
    metadata = {
        "format": "pt",
        "modelspec.sai_model_spec": "1.0.0",
        "modelspec.architecture": "flux-1-dev/lora",
        "modelspec.title": title,
        "modelspec.description": "A LoRA for the demo model alone, whose layers are narrow.",
    }
    if trigger:
        metadata["modelspec.trigger_phrase"] = trigger
    tensors = {}
    for layer, (down, up) in pairs.items():
        tensors[PREFIX + layer + DOWN] = down.detach().half().contiguous()
        tensors[PREFIX + layer + UP] = up.detach().half().contiguous()
    path.parent.mkdir(parents=True, exist_ok=True)
    save_file(tensors, path, metadata)


def load(path: Path) -> Pairs:
    """Read the pairs, in float32."""
    tensors = {key.removeprefix(PREFIX): tensor.float() for key, tensor in load_file(path).items()}
    layers = [key.removesuffix(DOWN) for key in tensors if key.endswith(DOWN)]
    return {layer: (tensors[layer + DOWN], tensors[layer + UP]) for layer in layers}
