"""FLUX's components: the large to be filled, the small loaded, and none with a tensor amiss."""

from pathlib import Path
from typing import Any

import torch
from diffusers import AutoencoderKL, FluxTransformer2DModel
from torch import nn
from transformers import AutoConfig, CLIPTextModel, T5EncoderModel

from flux_worker.weights.checkpoint import Checkpoint
from flux_worker.weights.layout import Unusable

TIED = "encoder.embed_tokens.weight"
"""T5's second name for its `shared.weight`, under which few files hold it again."""


def empty_transformer(checkpoint: Checkpoint) -> FluxTransformer2DModel:
    """Build the transformer, without memory for its tensors.

    Raises:
        Unusable: what is stored isn't what its `config.json` asks for.
    """
    config = FluxTransformer2DModel.load_config(checkpoint.folder / "transformer")
    with torch.device("meta"):
        model: FluxTransformer2DModel = FluxTransformer2DModel.from_config(config)
    _require_fitting(model, checkpoint, "transformer")
    return model


def empty_t5(checkpoint: Checkpoint) -> T5EncoderModel:
    """Build T5 likewise."""
    config = AutoConfig.from_pretrained(checkpoint.folder / "text_encoder_2")
    with torch.device("meta"):
        model = T5EncoderModel(config)
    _require_fitting(model, checkpoint, "text_encoder_2")
    return model


def clip(folder: Path, dtype: torch.dtype) -> CLIPTextModel:
    """Load CLIP, whose library makes up at random what is missing.

    Raises:
        Unusable: a tensor is missing or has another shape.
    """
    # So that tensors of another shape are reported, too.
    return _loaded(CLIPTextModel, folder / "text_encoder", dtype, ignore_mismatched_sizes=True)


def vae(folder: Path, dtype: torch.dtype) -> AutoencoderKL:
    """Load the VAE, whose library leaves what is missing without memory.

    Raises:
        Unusable: a tensor is missing.
    """
    return _loaded(AutoencoderKL, folder / "vae", dtype)


def _require_fitting(model: nn.Module, checkpoint: Checkpoint, component: str) -> None:
    stored = {tensor.name: tensor.shape for tensor in checkpoint.tensors[component]}
    wanted = {name: tuple(tensor.shape) for name, tensor in model.state_dict().items()}
    if TIED not in stored:
        wanted.pop(TIED, None)
    for name in sorted(wanted.keys() | stored.keys()):
        if wanted.get(name) != stored.get(name):
            raise Unusable(
                f"{component} holds {stored.get(name, 'nothing')} for {name}, where its "
                f"config.json asks for {wanted.get(name, 'nothing')}"
            )


def _loaded(kind: Any, folder: Path, dtype: torch.dtype, **options: Any) -> Any:
    model, report = kind.from_pretrained(
        folder,
        dtype=dtype,
        use_safetensors=True,
        local_files_only=True,
        output_loading_info=True,
        **options,
    )
    if lost := [*report["missing_keys"], *(name for name, *_ in report["mismatched_keys"])]:
        raise Unusable(f"{folder.name} lacks {min(lost)}, or has it in another shape")
    return model
