"""What a file is, if it isn't a LoRA for this model."""

import re
from collections.abc import Collection, Mapping

from flux_worker.adapters import layer_names
from flux_worker.adapters.trainers import Metadata

CONTROL = re.compile(r"(query|key)_norm$|\bnorm_(added_)?[qk]$")
"""Black Forest Labs' and diffusers' names of what only Canny and Depth LoRAs change."""
CONTROL_LORA = (
    "is a control LoRA (Canny or Depth), which isn't supported: it takes a picture in channels of "
    "its own"
)
FAMILIES = {
    "SDXL or Stable Diffusion": r"(down|up|input|output|mid|middle)_blocks?[._]",
    "FLUX.2": r"to_qkv_mlp_proj|(double|single)_stream_modulation|ff(_context)?[._]linear_in",
    "Stable Diffusion 3": r"joint_blocks[._]",
    "Qwen-Image": r"transformer_blocks[._]\d+[._](img|txt)_m(od|lp)[._]",
    "Wan": r"^(diffusion_model[._]|lora_unet_)?blocks[._]\d+[._](self|cross)_attn",
}
"""Other models, by names that only they have."""
EMBEDDERS = ("transformer_x_embedder", "transformer_img_in")
KINDS = {
    r"dora_scale|lora_magnitude_vector.*": "is a DoRA, which scales whole layers: train a LoRA, or "
    "merge it into weights",
    r"hada_.*": "is a LoHa: LoRA and LoKr are supported",
    r"oft_.*": "is an OFT: LoRA and LoKr are supported",
    r"lokr_t\d|lora_mid.*": "is of convolutions, which this model doesn't have",
    r"diff": "changes {module} as a whole (diff): LoRA and LoKr are supported",
    r"diff_b|lora_B.*bias": "changes the bias of {module}: LoRA and LoKr of weights are supported",
    r"": "has {module}, which is a weight itself and no part of a LoRA",
}
"""What there is beside a LoRA's factors, and what it means."""
MAX_NAME = 80


def clause(module: str, modules: Mapping[str, Collection[str]], metadata: Metadata) -> str:
    """Say what a file is, of which this layer isn't one that can be merged.

    Args:
        module: the file's name of it.
        modules: the factors of all the file's layers.
        metadata: of the file.
    """
    if all(set(factors) == {""} for factors in modules.values()):
        return f"is no LoRA: it has whole weights, such as {shown(module)}"
    if any(CONTROL.search(name.removesuffix(".scale").removesuffix(".weight")) for name in modules):
        return CONTROL_LORA
    for family, pattern in FAMILIES.items():
        if any(re.search(pattern, name) for name in modules):
            return f"is for {family}, not for FLUX.1"
    if kind := _kind(module, modules[module]):
        return kind
    if layer_names.resolve(module).startswith("text_encoder_2_"):
        return "changes the T5 encoder, which isn't supported: the transformer and CLIP are"
    if architecture := _architecture(metadata):
        return f"is for {architecture}, not for this model: it has {shown(module)}"
    return (
        f"has weights for {shown(module)}, which this model doesn't have: it is for another model, "
        "or its trainer's names aren't known here"
    )


def of_shape(module: str, theirs: tuple[int, int], ours: tuple[int, int]) -> str:
    """Say what a file is that has a layer of another shape, (outputs, inputs)."""
    if layer_names.resolve(module) in EMBEDDERS and theirs[1] == 2 * ours[1]:
        return CONTROL_LORA
    return (
        f"is for a model of other widths: {shown(module)} has {theirs[1]} inputs and {theirs[0]} "
        f"outputs there, and {ours[1]} and {ours[0]} here"
    )


def shown(name: str) -> str:
    """Write a name out of a file so that it fits into a sentence."""
    text = "".join(each for each in name if each.isprintable())
    return text if len(text) <= MAX_NAME else text[: MAX_NAME - 1] + "…"


def _kind(module: str, factors: Collection[str]) -> str | None:
    for pattern, meaning in KINDS.items():
        if any(re.fullmatch(pattern, factor) for factor in factors):
            return meaning.format(module=shown(module))
    return None


def _architecture(metadata: Metadata) -> str | None:
    said = metadata.get("modelspec.architecture") or metadata.get("ss_base_model_version") or ""
    return None if not said or "flux-1" in said or "flux1" in said else shown(said)
