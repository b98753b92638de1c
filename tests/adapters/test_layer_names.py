"""What trainers call the layers: all three vocabularies, and every prefix."""

import pytest
import torch
from diffusers import FluxTransformer2DModel
from diffusers.loaders import FluxLoraLoaderMixin

from flux_worker.adapters import layer_names
from flux_worker.adapters.deltas import Part

D = "transformer.transformer_blocks.1."
S = "transformer.single_transformer_blocks.0."
LAYERS = {
    **{f"{D}attn.{name}": (8, 4) for name in ("to_q", "to_k", "to_v", "to_out.0")},
    **{f"{D}attn.{name}": (8, 4) for name in ("add_q_proj", "add_k_proj", "add_v_proj")},
    f"{D}attn.to_add_out": (8, 4),
    f"{D}norm1.linear": (24, 4),
    **{f"{S}attn.{name}": (8, 4) for name in ("to_q", "to_k", "to_v")},
    f"{S}proj_mlp": (16, 4),
    f"{S}proj_out": (8, 24),
    "transformer.x_embedder": (8, 2),
    "transformer.norm_out.linear": (16, 8),
    "text_encoder.encoder.layers.0.mlp.fc1": (6, 3),
}


def places(module):
    return layer_names.index(LAYERS).get(layer_names.resolve(module))


@pytest.mark.parametrize(
    "module",
    [
        "transformer.transformer_blocks.1.attn.to_out.0",
        "transformer_blocks.1.attn.to_out.0",
        "base_model.model.transformer_blocks.1.attn.to_out.0",
        "base_model.model.transformer.transformer_blocks.1.attn.to_out.0",
        "diffusion_model.transformer_blocks.1.attn.to_out.0",
        "lora_transformer_transformer_blocks_1_attn_to_out_0",
        "lora_unet_transformer_blocks_1_attn_to_out_0",
        "lycoris_transformer_blocks_1_attn_to_out_0",
        "double_blocks.1.img_attn.proj",
        "diffusion_model.double_blocks.1.img_attn.proj",
        "model.diffusion_model.double_blocks.1.img_attn.proj",
        "lora_unet_double_blocks_1_img_attn_proj",
        "double_blocks.1.processor.proj_lora1",
    ],
)
def test_a_layer_has_many_names(module):
    assert places(module) == (Part(f"{D}attn.to_out.0", slice(0, 8)),)


@pytest.mark.parametrize(
    "module",
    [
        "text_encoder.text_model.encoder.layers.0.mlp.fc1",
        "text_encoder.encoder.layers.0.mlp.fc1",
        "lora_te1_text_model_encoder_layers_0_mlp_fc1",
        "lora_te_text_model_encoder_layers_0_mlp_fc1",
        "text_encoders.clip_l.transformer.text_model.encoder.layers.0.mlp.fc1",
        "clip_l.text_model.encoder.layers.0.mlp.fc1",
        "base_model.model.text_encoder.text_model.encoder.layers.0.mlp.fc1",
    ],
)
def test_so_has_one_of_clip(module):
    assert places(module) == (Part("text_encoder.encoder.layers.0.mlp.fc1", slice(0, 6)),)


@pytest.mark.parametrize(
    ("module", "layers"),
    [
        ("double_blocks.1.img_attn.qkv", ["to_q", "to_k", "to_v"]),
        ("double_blocks.1.processor.qkv_lora1", ["to_q", "to_k", "to_v"]),
        ("double_blocks.1.txt_attn.qkv", ["add_q_proj", "add_k_proj", "add_v_proj"]),
        ("double_blocks.1.processor.qkv_lora2", ["add_q_proj", "add_k_proj", "add_v_proj"]),
    ],
)
def test_one_of_their_layers_is_three_of_ours(module, layers):
    slices = (slice(0, 8), slice(8, 16), slice(16, 24))
    wanted = [Part(f"{D}attn.{name}", rows) for name, rows in zip(layers, slices, strict=True)]
    assert list(places(module)) == wanted


@pytest.mark.parametrize(
    ("module", "layer"),
    [
        ("transformer.double_blocks.1.img_attn.qkv.0", f"{D}attn.to_q"),
        ("transformer.double_blocks.1.txt_attn.qkv.2", f"{D}attn.add_v_proj"),
        ("transformer.single_blocks.0.linear1.1", f"{S}attn.to_k"),
        ("transformer.single_blocks.0.linear1.3", f"{S}proj_mlp"),
        ("transformer.img_in.proj", "transformer.x_embedder"),
    ],
)
def test_onetrainer_numbers_what_is_one_layer_of_theirs(module, layer):
    (part,) = places(module)
    assert part == Part(layer, slice(0, LAYERS[layer][0]))


def test_a_single_blocks_first_layer_is_four():
    parts = places("lora_unet_single_blocks_0_linear1")
    assert [part.layer.removeprefix(S) for part in parts] == [
        *("attn.to_q", "attn.to_k", "attn.to_v", "proj_mlp"),
    ]
    assert parts[-1].rows == slice(24, 40)


def test_shift_and_scale_of_the_final_layer_change_places():
    first, second = places("lora_unet_final_layer_adaLN_modulation_1")
    assert (first.rows, first.at) == (slice(0, 8), 8)
    assert (second.rows, second.at) == (slice(8, 16), 0)


@pytest.mark.parametrize(
    "module",
    [
        *("transformer.transformer_blocks.7.attn.to_q", "lora_unet_double_blocks_7_img_attn_qkv"),
        *(
            "lora_te2_encoder_block_0_layer_0_SelfAttention_q",
            "unet.down_blocks.0",
            "single_blocks",
        ),
        *("text_encoder_2.encoder.block.0", "t5xxl.encoder.block.0", "", "transformer", "x_embed"),
    ],
)
def test_any_other_name_leads_nowhere(module):
    assert places(module) is None


@pytest.fixture(scope="module")
def flux():
    """FLUX's own layers."""
    with torch.device("meta"):
        model = FluxTransformer2DModel(guidance_embeds=True)
    return {
        f"transformer.{name}": tuple(module.weight.shape)
        for name, module in model.named_modules()
        if isinstance(module, torch.nn.Linear)
    }


BLOCKS = (
    ("double_blocks", (0, 18), layer_names.DOUBLE),
    ("single_blocks", (0, 37), layer_names.SINGLE),
)
THEIRS = [
    f"{blocks}.{number}.{name}"
    for blocks, numbers, table in BLOCKS
    for number in numbers
    for name in table
]
XLABS = [name for name in THEIRS if ".processor." in name]
KOHYA = [name for name in THEIRS if name not in XLABS] + [
    *layer_names.OUTSIDE,
    layer_names.SWAPPED[0],
]


@pytest.mark.parametrize(
    ("modules", "down", "up"),
    [
        (
            [f"lora_unet_{layer_names.flat(name)}" for name in KOHYA],
            ".lora_down.weight",
            ".lora_up.weight",
        ),
        (XLABS, ".down.weight", ".up.weight"),
    ],
    ids=["kohya", "xlabs"],
)
def test_at_fluxs_sizes_it_is_what_diffusers_has_it(flux, modules, down, up):
    """Its converter knows these layouts, where it is given FLUX's own sizes."""
    index, state = layer_names.index(flux), {}
    for module in modules:
        parts = index[layer_names.resolve(module)]
        outputs = max(part.rows.stop for part in parts)
        state[module + down] = torch.randn(1, flux[parts[0].layer][1])
        state[module + up] = torch.randn(outputs, 1)
    converted = FluxLoraLoaderMixin.lora_state_dict(dict(state))
    for module in modules:
        for part in index[layer_names.resolve(module)]:
            # What kohya has outside of the blocks comes without a prefix there.
            bare = part.layer.removeprefix("transformer.")
            prefix = part.layer if f"{part.layer}.lora_A.weight" in converted else bare
            rows = slice(part.at, part.at + part.rows.stop - part.rows.start)
            theirs = converted.pop(f"{prefix}.lora_B.weight") if part.at == 0 else None
            if theirs is not None:
                assert torch.equal(theirs[rows], state[module + up][part.rows])
                assert torch.equal(converted.pop(f"{prefix}.lora_A.weight"), state[module + down])
    assert not converted
