"""Small LoRAs for the demo model, as the trainers write them."""

import torch
from conftest import DEMO
from diffusers import FluxTransformer2DModel
from safetensors.torch import save_file
from transformers import CLIPTextModel

from flux_worker.adapters import reading
from flux_worker.adapters.layer_names import DOUBLE, OUTSIDE, SINGLE

RANK = 4


def transformer():
    """The demo's, as diffusers has it."""
    return FluxTransformer2DModel.from_pretrained(DEMO / "transformer", dtype=torch.float32)


def text_encoder():
    return CLIPTextModel.from_pretrained(DEMO / "text_encoder", dtype=torch.float32)


def shapes(model=None):
    """(outputs, inputs) of each linear layer, by its name in diffusers."""
    modules = (model or transformer()).named_modules()
    return {
        name: tuple(module.weight.shape)
        for name, module in modules
        if isinstance(module, torch.nn.Linear)
    }


def groups(of):
    """Black Forest Labs' name of each layer, and the names of diffusers' layers that it is."""
    named = {bfl: (name,) for bfl, name in OUTSIDE.items()}
    for kind, table, theirs in (
        ("transformer_blocks", DOUBLE, "double_blocks"),
        ("single_transformer_blocks", SINGLE, "single_blocks"),
    ):
        numbers = {name.split(".")[1] for name in of if name.startswith(f"{kind}.")}
        for number in sorted(numbers, key=int):
            for bfl, names in table.items():
                if bfl.startswith("processor."):  # XLabs'
                    continue
                stacked = tuple(f"{kind}.{number}.{name}" for name in names)
                named[f"{theirs}.{number}.{bfl}"] = stacked
    return named


def factors(of, seed=0, strength=0.05):
    """Draw (down, up) for each of the groups: (rank, inputs) and (all outputs, rank)."""
    draw = torch.Generator().manual_seed(seed)
    made = {}
    for bfl, names in groups(of).items():
        outputs, inputs = sum(of[name][0] for name in names), of[names[0]][1]
        down = torch.randn(RANK, inputs, generator=draw) * strength
        up = torch.randn(outputs, RANK, generator=draw) * strength
        made[bfl] = down, up
    return made


def in_diffusers(of, made):
    """The same (down, up) for each of diffusers' layers."""
    split = {}
    for bfl, names in groups(of).items():
        down, up = made[bfl]
        parts = up.split([of[name][0] for name in names])
        split |= {name: (down, part.clone()) for name, part in zip(names, parts, strict=True)}
    return split


def diffusers_keys(layers, prefix="transformer.", down="lora_A", up="lora_B"):
    """A state dict in the layout of PEFT, diffusers and ai-toolkit."""
    tensors = {}
    for name, (first, second) in layers.items():
        tensors[f"{prefix}{name}.{down}.weight"] = first
        tensors[f"{prefix}{name}.{up}.weight"] = second
    return tensors


def kohya_keys(made, alpha, prefix="lora_unet_"):
    """A state dict in the layout of sd-scripts, with alphas."""
    tensors = {}
    for name, (down, up) in made.items():
        module = prefix + name.replace(".", "_")
        tensors[f"{module}.lora_down.weight"] = down
        tensors[f"{module}.lora_up.weight"] = up
        tensors[f"{module}.alpha"] = torch.tensor(float(alpha))
    return tensors


XLABS = {
    "img_attn.qkv": "processor.qkv_lora1",
    "img_attn.proj": "processor.proj_lora1",
    "txt_attn.qkv": "processor.qkv_lora2",
    "txt_attn.proj": "processor.proj_lora2",
}


def xlabs_keys(made):
    """A state dict in the layout of XLabs, which has the double blocks' attention."""
    tensors = {}
    for name, (down, up) in made.items():
        block, number, layer = name.split(".", 2)
        module = f"{block}.{number}.{XLABS[layer]}"
        tensors[f"{module}.down.weight"], tensors[f"{module}.up.weight"] = down, up
    return tensors


def save(tensors, path, **metadata):
    path.parent.mkdir(parents=True, exist_ok=True)
    save_file({k: v.clone().contiguous() for k, v in tensors.items()}, path, metadata or None)
    return path


def adapter(folder, layers, seed=0):
    """Read one that changes every layer of the transformer."""
    of = {name.removeprefix("transformer."): shape for name, shape in layers.items()}
    keys = diffusers_keys(in_diffusers(of, factors(of, seed)))
    return reading.read(save(keys, folder / f"{seed}.safetensors"), layers, 256)
