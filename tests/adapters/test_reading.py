"""LoRAs in every layout, against what PEFT computes, and files that are damaged."""

import hashlib
import json
from dataclasses import replace

import lora_files
import peft
import pytest
import torch
from lora_files import save
from safetensors.torch import save_file

from flux_worker.adapters import reading
from flux_worker.adapters.deltas import Unfit

TOLERANCE = 1e-6
ALPHA = 2


@pytest.fixture(scope="module")
def model():
    return lora_files.transformer()


@pytest.fixture(scope="module")
def of(model):
    return lora_files.shapes(model)


@pytest.fixture(scope="module")
def layers(of):
    clip = lora_files.shapes(lora_files.text_encoder())
    return {f"transformer.{name}": shape for name, shape in of.items()} | {
        f"text_encoder.{name}": shape for name, shape in clip.items()
    }


def dense(adapter, layers):
    """What a LoRA adds to each of the layers that it changes."""
    found = {}
    for delta in adapter.deltas:
        for part in delta.parts:
            sum_ = found.setdefault(part.layer, torch.zeros(layers[part.layer]))
            length = part.rows.stop - part.rows.start
            delta.add_to(sum_[part.at : part.at + length], part.rows, 1.0)
    return found


def by_peft(model, wanted, alpha):
    """The same, as PEFT computes it for (down, up) of each layer."""
    config = peft.LoraConfig(r=lora_files.RANK, lora_alpha=alpha, target_modules=list(wanted))
    peft.inject_adapter_in_model(config, model)
    try:
        found = {}
        for name, (down, up) in wanted.items():
            layer = model.get_submodule(name)
            layer.lora_A["default"].weight.data.copy_(down)
            layer.lora_B["default"].weight.data.copy_(up)
            found[name] = layer.get_delta_weight("default").detach()
        return found
    finally:
        for name in wanted:
            parent, _, last = name.rpartition(".")
            setattr(model.get_submodule(parent), last, model.get_submodule(name).base_layer)
        del model.peft_config


def same(ours, theirs, component="transformer"):
    assert ours.keys() == {f"{component}.{name}" for name in theirs}
    for name, wanted in theirs.items():
        torch.testing.assert_close(ours[f"{component}.{name}"], wanted, rtol=0, atol=TOLERANCE)


LAYOUTS = {
    "diffusers": lambda of, made: lora_files.diffusers_keys(lora_files.in_diffusers(of, made)),
    "PEFT": lambda of, made: lora_files.diffusers_keys(
        lora_files.in_diffusers(of, made), "base_model.model."
    ),
    "PEFT with an adapter's name": lambda of, made: {
        name.replace(".weight", ".default.weight"): tensor
        for name, tensor in lora_files.diffusers_keys(lora_files.in_diffusers(of, made)).items()
    },
    "diffusers, down and up": lambda of, made: lora_files.diffusers_keys(
        lora_files.in_diffusers(of, made), "transformer.", "lora.down", "lora.up"
    ),
    "BFL": lambda of, made: lora_files.diffusers_keys(made, ""),
    "ComfyUI": lambda of, made: lora_files.diffusers_keys(made, "diffusion_model."),
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_layer_in_a_layout_without_alphas(tmp_path, model, of, layers, layout):
    made = lora_files.factors(of)
    file = save(LAYOUTS[layout](of, made), tmp_path / "lora.safetensors")
    wanted = by_peft(model, lora_files.in_diffusers(of, made), lora_files.RANK)
    same(dense(reading.read(file, layers, 256), layers), wanted)


@pytest.mark.parametrize(
    ("prefix", "dtype"),
    [("lora_unet_", torch.float32), ("lora_unet_", torch.bfloat16), ("lycoris_", torch.float16)],
)
def test_kohyas_with_alphas(tmp_path, model, of, layers, prefix, dtype):
    made = {
        name: tuple(each.to(dtype) for each in pair)
        for name, pair in lora_files.factors(of).items()
    }
    tensors = lora_files.kohya_keys(made, ALPHA, prefix)
    wanted = by_peft(model, lora_files.in_diffusers(of, made), ALPHA)
    file = save(tensors, tmp_path / "lora.safetensors")
    same(dense(reading.read(file, layers, 256), layers), wanted)


def test_onetrainers_and_diffusers_names_with_underscores(tmp_path, model, of, layers):
    split = lora_files.in_diffusers(of, lora_files.factors(of))
    tensors = lora_files.kohya_keys(split, ALPHA, "lora_transformer_")
    file = save(tensors, tmp_path / "lora.safetensors")
    same(dense(reading.read(file, layers, 256), layers), by_peft(model, split, ALPHA))


def test_ai_toolkits_in_bf16(tmp_path, model, of, layers):
    made = {
        name: tuple(each.bfloat16() for each in pair)
        for name, pair in lora_files.in_diffusers(of, lora_files.factors(of)).items()
        if "blocks" in name
    }
    file = save(
        lora_files.diffusers_keys(made),
        tmp_path / "lora.safetensors",
        software=json.dumps({"name": "ai-toolkit"}),
        ss_tag_frequency=json.dumps({"1_moon": {"moon": 1}}),
    )
    adapter = reading.read(file, layers, 256)
    same(dense(adapter, layers), by_peft(model, made, lora_files.RANK))
    assert adapter.triggers == ("moon",)
    assert adapter.digest == hashlib.sha256(file.read_bytes()).hexdigest()
    assert not adapter.changes_clip


def test_xlabs(tmp_path, model, of, layers):
    made = {
        name: pair
        for name, pair in lora_files.factors(of).items()
        if name.startswith("double_blocks.") and "attn" in name
    }
    file = save(lora_files.xlabs_keys(made), tmp_path / "lora.safetensors")
    parts = {}
    for name, (down, up) in made.items():
        split = lora_files.groups(of)[name]
        rows = up.split([of[each][0] for each in split])
        parts |= {each: (down, part) for each, part in zip(split, rows, strict=True)}
    same(dense(reading.read(file, layers, 256), layers), by_peft(model, parts, lora_files.RANK))


def test_diffusers_alphas_in_the_metadata(tmp_path, model, of, layers):
    split = lora_files.in_diffusers(of, lora_files.factors(of))
    config = {"transformer.r": 4, "transformer.lora_alpha": ALPHA}
    file = save(
        lora_files.diffusers_keys(split),
        tmp_path / "lora.safetensors",
        lora_adapter_metadata=json.dumps(config),
    )
    same(dense(reading.read(file, layers, 256), layers), by_peft(model, split, ALPHA))


@pytest.mark.parametrize(
    "config",
    [
        peft.LoraConfig(r=2, lora_alpha=6, init_lora_weights=False),
        peft.LoKrConfig(r=2, alpha=6, init_weights=False),
        peft.LoKrConfig(r=64, alpha=16, init_weights=False),  # both factors are whole
    ],
    ids=["LoRA", "LoKr", "LoKr of whole factors"],
)
def test_what_diffusers_saves_of_the_transformer_alone(tmp_path, layers, config):
    """Its file has no prefixes, neither at the tensors nor at the metadata."""
    model, name = lora_files.transformer(), "transformer_blocks.0.attn.to_q"
    model.add_adapter(replace(config, target_modules=[name]))
    model.save_lora_adapter(tmp_path, weight_name="lora.safetensors")
    adapter = reading.read(tmp_path / "lora.safetensors", layers, 256)
    wanted = model.get_submodule(name).get_delta_weight("default").detach()
    same(dense(adapter, layers), {name: wanted})


def test_each_component_has_its_own_alphas(tmp_path, layers):
    pairs = {
        name: (torch.ones(2, layers[name][1]), torch.ones(layers[name][0], 2))
        for name in (
            "transformer.x_embedder",
            next(name for name in layers if name.startswith("text_encoder.")),
        )
    }
    config = {"transformer.lora_alpha": 8, "text_encoder.lora_alpha": 1}
    file = save(
        lora_files.diffusers_keys(pairs, ""),
        tmp_path / "lora.safetensors",
        lora_adapter_metadata=json.dumps(config),
    )
    scales = {each.parts[0].layer: each.scale for each in reading.read(file, layers, 256).deltas}
    assert scales == dict(zip(pairs, (4.0, 0.5), strict=True))


def test_metadata_that_cant_be_followed(tmp_path, of, layers):
    said = {"lora_adapter_metadata": '{"transformer.lora_alpha": 1e999}'}
    file = save(good(of), tmp_path / "lora.safetensors", **said)
    assert clause(file, layers).startswith("has metadata that can't be followed")


@pytest.mark.parametrize(
    ("prefix", "alpha", "level"),
    [
        ("text_encoder.", None, "text_model."),
        ("text_encoder.", None, ""),
        ("lora_te1_", ALPHA, "text_model."),
        ("text_encoders.clip_l.transformer.", None, "text_model."),
    ],
)
def test_clips_layers(tmp_path, layers, prefix, alpha, level):
    clip = lora_files.text_encoder()
    draw = torch.Generator().manual_seed(0)
    wanted = {
        name: (
            torch.randn(lora_files.RANK, inputs, generator=draw),
            torch.randn(outputs, lora_files.RANK, generator=draw),
        )
        for name, (outputs, inputs) in lora_files.shapes(clip).items()
    }
    theirs = {level + name.removeprefix("text_model."): pair for name, pair in wanted.items()}
    keys = (
        lora_files.kohya_keys(theirs, alpha, prefix)
        if alpha
        else (lora_files.diffusers_keys(theirs, prefix))
    )
    # What FLUX has no use for, of CLIP.
    keys[f"{prefix}text_projection.lora_A.weight"] = torch.ones(2, 2)
    adapter = reading.read(save(keys, tmp_path / "lora.safetensors"), layers, 256)
    same(
        dense(adapter, layers),
        by_peft(clip, wanted, alpha or lora_files.RANK),
        "text_encoder",
    )
    assert adapter.changes_clip


LOKR_LAYERS = ("transformer_blocks.0.attn.to_q", "single_transformer_blocks.1.proj_mlp")


@pytest.mark.parametrize("prefix", ["transformer.", "lycoris_", "diffusion_model."])
@pytest.mark.parametrize("rank", [2, 64])
def test_lokr(tmp_path, layers, prefix, rank):
    """PEFT's factors: both whole at a high rank, else the second one a product."""
    model = lora_files.transformer()
    config = peft.LoKrConfig(
        r=rank, alpha=rank, target_modules=list(LOKR_LAYERS), init_weights=False
    )
    peft.inject_adapter_in_model(config, model)
    tensors, wanted = {}, {}
    for name in LOKR_LAYERS:
        layer = model.get_submodule(name)
        module = prefix + (name.replace(".", "_") if prefix.endswith("_") else name)
        for factor in reading.LOKR - {"alpha"}:
            held = getattr(layer, factor, {})
            if "default" in held:
                tensors[f"{module}.{factor}"] = held["default"].detach()
        tensors[f"{module}.alpha"] = torch.tensor(float(rank))
        wanted[name] = layer.get_delta_weight("default").detach()
    file = save(tensors, tmp_path / "lora.safetensors")
    same(dense(reading.read(file, layers, 256), layers), wanted)


def test_lokr_of_three_layers_in_one(tmp_path, of, layers):
    left, right = torch.randn(3, 2), torch.randn(128, 64)
    module = "lora_unet_double_blocks_0_img_attn_qkv"
    tensors = {f"{module}.lokr_w1": left, f"{module}.lokr_w2": right}
    # LyCORIS writes an alpha here, too, and doesn't scale by it where both factors are whole.
    tensors[f"{module}.alpha"] = torch.tensor(1.0)
    adapter = reading.read(save(tensors, tmp_path / "lora.safetensors"), layers, 256)
    rows = torch.kron(left, right).split(128)
    qkv = [f"transformer_blocks.0.attn.{name}" for name in ("to_q", "to_k", "to_v")]
    same(dense(adapter, layers), dict(zip(qkv, rows, strict=True)))


def test_a_lokrs_factors_are_multiplied_where_they_are_added(tmp_path, of, layers):
    """Their product can be as large as the layer, or as whatever a file of few bytes claims."""
    module = "transformer.transformer_blocks.0.attn.to_q"
    outputs, inputs = of["transformer_blocks.0.attn.to_q"]

    def file(outputs, inputs):
        tensors = {
            f"{module}.lokr_w1": torch.ones(1, 1),
            f"{module}.lokr_w2_a": torch.ones(outputs, 1),
            f"{module}.lokr_w2_b": torch.ones(1, inputs),
        }
        return save(tensors, tmp_path / "lora.safetensors")

    (delta,) = reading.read(file(outputs, inputs), layers, 256).deltas
    assert sum(each.nbytes for each in (*delta.left, *delta.right)) < 4 * outputs * inputs / 8
    million = 10**6  # whose product has four terabytes
    assert "is for a model of other widths" in clause(file(million, million), layers)


def test_a_lokrs_factor_is_whole_or_in_halves(tmp_path, of, layers):
    module = "transformer.transformer_blocks.0.attn.to_q"
    tensors = {
        f"{module}.lokr_w1": torch.ones(2, 2),
        f"{module}.lokr_w1_a": torch.ones(2, 1),
        f"{module}.lokr_w1_b": torch.ones(1, 2),
        f"{module}.lokr_w2": torch.ones(64, 64),
    }
    assert "don't match" in clause(save(tensors, tmp_path / "lora.safetensors"), layers)


def test_the_final_layers_shift_and_scale(tmp_path, of, layers):
    rows = of["norm_out.linear"][0]
    down, up = torch.randn(2, of["norm_out.linear"][1]), torch.randn(rows, 2)
    keys = lora_files.kohya_keys({"final_layer.adaLN_modulation.1": (down, up)}, 1)
    adapter = reading.read(save(keys, tmp_path / "lora.safetensors"), layers, 256)
    shift, scale = (up @ down / 2).chunk(2)
    same(dense(adapter, layers), {"norm_out.linear": torch.cat([scale, shift])})


def good(of, name="transformer_blocks.0.attn.to_q", rank=4):
    outputs, inputs = of[name]
    return lora_files.diffusers_keys({name: (torch.ones(rank, inputs), torch.ones(outputs, rank))})


def clause(file, layers, max_rank=256):
    with pytest.raises(Unfit) as fault:
        reading.read(file, layers, max_rank)
    return str(fault.value)


def test_a_rank_above_the_limit(tmp_path, of, layers):
    file = save(good(of, rank=17), tmp_path / "lora.safetensors")
    assert clause(file, layers, 16) == "has rank 17, and this worker's MAX_LORA_RANK is 16"
    assert reading.read(file, layers, 17)


def test_layers_that_were_left_alone_dont_count(tmp_path, of, layers):
    unknown = {
        "lora_te2_encoder_block_0.lora_down.weight": torch.ones(2, 2),
        "lora_te2_encoder_block_0.lora_up.weight": torch.zeros(2, 2),
        "lora_te2_encoder_block_0.alpha": torch.tensor(1.0),
        "lora_te2_encoder_block_1.lora_down.weight": torch.zeros(2, 2),
        "lora_te2_encoder_block_1.lora_up.weight": torch.ones(2, 2),
        "lora_te2_encoder_block_2.lokr_w1": torch.ones(2, 2),
        "lora_te2_encoder_block_2.lokr_w2_a": torch.ones(2, 1),
        "lora_te2_encoder_block_2.lokr_w2_b": torch.zeros(1, 2),
        "lora_te2_encoder_block_2.alpha": torch.tensor(1.0),
        "lora_te2_encoder_block_3.alpha": torch.tensor(1.0),
        "transformer.norm.diff": torch.zeros(3),
    }
    file = save(good(of) | unknown, tmp_path / "lora.safetensors")
    assert len(reading.read(file, layers, 256).deltas) == 1


@pytest.mark.parametrize(
    "module",
    [
        "transformer.time_text_embed.guidance_embedder.linear_1",
        "lora_transformer_time_text_embed_guidance_embedder_linear_1",
        "lora_unet_guidance_in_in_layer",
    ],
)
def test_what_changes_guidance_has_no_effect_where_none_is_taken(tmp_path, of, layers, module):
    name = "time_text_embed.guidance_embedder.linear_1"
    outputs, inputs = of[name]
    pair = {module: (torch.ones(2, inputs), torch.ones(outputs, 2))}
    file = save(good(of) | lora_files.diffusers_keys(pair, ""), tmp_path / "lora.safetensors")
    of_schnell = {name: shape for name, shape in layers.items() if "guidance" not in name}
    assert len(reading.read(file, of_schnell, 256).deltas) == 1
    assert len(reading.read(file, layers, 256).deltas) == 2


def test_two_sets_of_weights_for_one_layer(tmp_path, of, layers):
    qkv = {"double_blocks.0.img_attn.qkv": (torch.ones(4, 128), torch.ones(384, 4))}
    tensors = good(of) | lora_files.kohya_keys(qkv, 4)
    assert "two sets of weights for one layer" in clause(
        save(tensors, tmp_path / "lora.safetensors"), layers
    )


@pytest.mark.parametrize(
    "second", ["lora_A.other.weight", "lora.down.weight", "lora_down.weight", "down.weight"]
)
def test_two_matrices_for_one_layer(tmp_path, of, layers, second):
    module = "transformer.transformer_blocks.0.attn.to_q"
    tensors = good(of)
    tensors[f"{module}.{second}"] = 2 * tensors[f"{module}.lora_A.weight"]
    assert "two sets of weights for one layer" in clause(
        save(tensors, tmp_path / "lora.safetensors"), layers
    )


@pytest.mark.parametrize("dtype", [torch.int64, torch.int32, torch.float64, torch.bfloat16])
def test_an_alpha_is_of_any_type(tmp_path, of, layers, dtype):
    alpha = {"transformer.transformer_blocks.0.attn.to_q.alpha": torch.tensor(2, dtype=dtype)}
    adapter = reading.read(save(good(of) | alpha, tmp_path / "lora.safetensors"), layers, 256)
    assert adapter.deltas[0].scale == 0.5


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda t: t.fill_(torch.nan), "isn't of finite numbers"),
        (lambda t: t.fill_(torch.inf), "isn't of finite numbers"),
        (lambda t: t.to(torch.int32), "isn't of finite numbers"),
        (lambda t: t[:, :-1], "don't match"),
        (lambda t: t[..., None, None], "don't match"),
    ],
)
def test_damaged_numbers(tmp_path, of, layers, spoil, said):
    tensors = good(of)
    name = next(name for name in tensors if "lora_B" in name)
    tensors[name] = spoil(tensors[name])
    assert said in clause(save(tensors, tmp_path / "lora.safetensors"), layers)


@pytest.mark.parametrize("alpha", [torch.ones(2), torch.empty(0), torch.tensor(1 + 1j)])
def test_an_alpha_is_one_number(tmp_path, of, layers, alpha):
    tensors = good(of) | {"transformer.transformer_blocks.0.attn.to_q.alpha": alpha}
    assert "isn't one number" in clause(save(tensors, tmp_path / "lora.safetensors"), layers)


@pytest.mark.parametrize(
    "content", [b"", b"PK\x03\x04" * 10, b"\xff" * 100, b"<html>", b"\x02\0\0\0\0\0\0\0{}"]
)
def test_what_is_no_safetensors_file(tmp_path, layers, content):
    file = tmp_path / "lora.safetensors"
    file.write_bytes(content)
    said = clause(file, layers)
    assert said.startswith(("is no sound safetensors file", "is no LoRA"))


def test_a_header_of_far_more_than_a_lora_has(tmp_path, of, layers):
    words = {"ss_tag_frequency": "x" * reading.MAX_HEADER}
    file = save(good(of), tmp_path / "lora.safetensors", **words)
    assert "is no sound safetensors file" in clause(file, layers)


def test_a_file_that_was_cut_off(tmp_path, of, layers):
    file = tmp_path / "lora.safetensors"
    save_file(good(of), file)
    file.write_bytes(file.read_bytes()[:-1])
    assert "is no sound safetensors file" in clause(file, layers)


def test_what_was_read_doesnt_change_with_the_file(tmp_path, of, layers):
    file = save(good(of), tmp_path / "lora.safetensors")
    adapter = reading.read(file, layers, 256)
    before = dense(adapter, layers)
    file.write_bytes(b"\0" * file.stat().st_size)
    after = dense(adapter, layers)
    assert all(torch.equal(before[name], after[name]) for name in before)
