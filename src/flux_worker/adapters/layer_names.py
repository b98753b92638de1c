"""What trainers call the model's layers.

There are three vocabularies: that of diffusers, that of Black Forest Labs' own code, which kohya's
sd-scripts and ComfyUI use, too, and that of XLabs. Query, key and value are one layer in the last
two. Each is written with dots or with underscores, after one of several prefixes.
"""

import re
from collections.abc import Iterator

from flux_worker.adapters.deltas import Layers, Part

Index = dict[str, tuple[Part, ...]]
"""Where the layers of every name belong; the names as `flat` writes them."""

PREFIXES = {
    "base_model.model.transformer.": "transformer.",
    "base_model.model.text_encoder.": "text_encoder.",
    "base_model.model.": "transformer.",
    "model.diffusion_model.": "transformer.",
    "diffusion_model.": "transformer.",
    "transformer.": "transformer.",
    "lora_transformer_": "transformer.",
    "lora_unet_": "transformer.",
    "lycoris_": "transformer.",
    "text_encoder.": "text_encoder.",
    "text_encoders.clip_l.transformer.": "text_encoder.",
    "clip_l.": "text_encoder.",
    "lora_te1_": "text_encoder.",
    "lora_te_": "text_encoder.",
    "text_encoder_2.": "text_encoder_2.",
    "text_encoders.t5xxl.transformer.": "text_encoder_2.",
    "t5xxl.": "text_encoder_2.",
    "t5.": "text_encoder_2.",
    "lora_te2_": "text_encoder_2.",
    "lora_te3_": "text_encoder_2.",
}
"""What stands before a layer's name, and the component that it means; the first that fits is it."""

QKV = ("attn.to_q", "attn.to_k", "attn.to_v")
ADDED_QKV = ("attn.add_q_proj", "attn.add_k_proj", "attn.add_v_proj")
DOUBLE = {
    "img_attn.qkv": QKV,
    "img_attn.proj": ("attn.to_out.0",),
    "img_mlp.0": ("ff.net.0.proj",),
    "img_mlp.2": ("ff.net.2",),
    "img_mod.lin": ("norm1.linear",),
    "txt_attn.qkv": ADDED_QKV,
    "txt_attn.proj": ("attn.to_add_out",),
    "txt_mlp.0": ("ff_context.net.0.proj",),
    "txt_mlp.2": ("ff_context.net.2",),
    "txt_mod.lin": ("norm1_context.linear",),
    "processor.qkv_lora1": QKV,
    "processor.proj_lora1": ("attn.to_out.0",),
    "processor.qkv_lora2": ADDED_QKV,
    "processor.proj_lora2": ("attn.to_add_out",),
}
SINGLE = {
    "linear1": (*QKV, "proj_mlp"),
    "linear2": ("proj_out",),
    "modulation.lin": ("norm.linear",),
    "processor.qkv_lora": QKV,
    "processor.proj_lora": ("proj_out",),
}
OUTSIDE = {
    "img_in": "x_embedder",
    "txt_in": "context_embedder",
    "time_in.in_layer": "time_text_embed.timestep_embedder.linear_1",
    "time_in.out_layer": "time_text_embed.timestep_embedder.linear_2",
    "vector_in.in_layer": "time_text_embed.text_embedder.linear_1",
    "vector_in.out_layer": "time_text_embed.text_embedder.linear_2",
    "guidance_in.in_layer": "time_text_embed.guidance_embedder.linear_1",
    "guidance_in.out_layer": "time_text_embed.guidance_embedder.linear_2",
    "final_layer.linear": "proj_out",
}
"""Other names of the transformer's layers, in a double block, in a single one and outside of them:
https://github.com/black-forest-labs/flux/blob/main/src/flux/model.py."""
ONETRAINERS = {"img_in.proj": "x_embedder"}
"""OneTrainer's own name."""
SWAPPED = ("final_layer.adaLN_modulation.1", "norm_out.linear")
"""Shift and scale come in the other order in diffusers."""
BLOCK = re.compile(r"transformer\.(single_)?transformer_blocks\.(\d+)\.")


def index(layers: Layers) -> Index:
    """Return where the layers of every name belong, in a model with these layers."""
    found: Index = {flat(name): (Part(name, slice(0, rows)),) for name, (rows, _) in layers.items()}
    for alias, names in _aliases(layers):
        if all(name in layers for name in names):
            found[flat(alias)] = _stacked(layers, names)
    swapped = f"transformer.{SWAPPED[1]}"
    if swapped in layers:
        rows = layers[swapped][0]
        half = rows // 2
        found[flat(f"transformer.{SWAPPED[0]}")] = (
            Part(swapped, slice(0, half), at=half),
            Part(swapped, slice(half, rows)),
        )
    return found


def flat(name: str) -> str:
    """Write a name as the trainers do that have no dots in it."""
    return name.replace(".", "_")


def resolve(module: str) -> str:
    """Return a file's name of a layer with the component that it belongs to, `flat`."""
    for prefix, component in PREFIXES.items():
        if module.startswith(prefix):
            return flat(component + module.removeprefix(prefix))
    return flat(f"transformer.{module}")


def _aliases(layers: Layers) -> Iterator[tuple[str, tuple[str, ...]]]:
    for alias, name in (OUTSIDE | ONETRAINERS).items():
        yield f"transformer.{alias}", (f"transformer.{name}",)
    for block in dict.fromkeys(match[0] for name in layers if (match := BLOCK.match(name))):
        is_single, number = BLOCK.fullmatch(block).groups()  # type: ignore[union-attr]
        table, theirs = (SINGLE, "single_blocks") if is_single else (DOUBLE, "double_blocks")
        for alias, names in table.items():
            stacked = tuple(block + name for name in names)
            yield f"transformer.{theirs}.{number}.{alias}", stacked
            for place, name in enumerate(stacked):  # as OneTrainer has them where there are several
                yield f"transformer.{theirs}.{number}.{alias}.{place}", (name,)
    for name in layers:
        # transformers has had this level, and has taken it out.
        for level, other in (("text_model.", ""), ("", "text_model.")):
            if name.startswith(f"text_encoder.{level}encoder."):
                yield name.replace(f".{level}encoder.", f".{other}encoder.", 1), (name,)


def _stacked(layers: Layers, names: tuple[str, ...]) -> tuple[Part, ...]:
    parts, begin = list[Part](), 0
    for name in names:
        end = begin + layers[name][0]
        parts.append(Part(name, slice(begin, end)))
        begin = end
    return tuple(parts)
