"""What is said of a file that is no LoRA for this model, by what it is."""

import pytest
import torch
from lora_files import save

from flux_worker.adapters import reading
from flux_worker.adapters.deltas import Unfit

Q = "transformer.transformer_blocks.0.attn.to_q"
LAYERS = {Q: (8, 4), "transformer.x_embedder": (8, 2)}


def pair(module, outputs=8, inputs=4, rank=2):
    return {
        f"{module}.lora_A.weight": torch.ones(rank, inputs),
        f"{module}.lora_B.weight": torch.ones(outputs, rank),
    }


def told(tmp_path, tensors, **metadata):
    file = save(tensors, tmp_path / "lora.safetensors", **metadata)
    with pytest.raises(Unfit) as fault:
        reading.read(file, LAYERS, 256)
    return str(fault.value)


@pytest.mark.parametrize(
    ("tensors", "clause"),
    [
        (pair("unet.down_blocks.1.attentions.0.to_q"), "is for SDXL or Stable Diffusion, not"),
        (pair("lora_unet_input_blocks_4_1_to_q"), "is for SDXL or Stable Diffusion, not"),
        (pair("lora_te2_text_model_encoder_layers_0_mlp_fc1"), "changes the T5 encoder"),
        (pair("transformer.single_transformer_blocks.0.attn.to_qkv_mlp_proj"), "is for FLUX.2"),
        (pair("unet.transformer_blocks.0.attn.to_q"), "names aren't known here"),
        (pair(Q) | {f"{Q}.lora_mid.weight": torch.ones(2, 2)}, "convolutions"),
        (pair("diffusion_model.joint_blocks.0.x_block.attn.qkv"), "is for Stable Diffusion 3"),
        (pair("transformer.transformer_blocks.0.img_mod.1"), "is for Qwen-Image"),
        (pair("diffusion_model.blocks.0.self_attn.q"), "is for Wan"),
        (pair("transformer.transformer_blocks.57.attn.to_q"), "has weights for transformer.tran"),
        (pair(Q, inputs=5), "is for a model of other widths: " + Q + " has 5 inputs and 8 outputs"),
        (pair("transformer.x_embedder", inputs=4), "is a control LoRA"),
        (pair("img_in", inputs=4), "is a control LoRA"),
        (
            pair(Q) | pair("transformer.text_projection.linear_1"),
            "has weights for transformer.t",
        ),
        (
            pair(Q) | {"double_blocks.0.img_attn.norm.query_norm.scale": torch.ones(2)},
            "is a control LoRA",
        ),
        (pair(Q) | {f"{Q}.dora_scale": torch.ones(8, 1)}, "is a DoRA"),
        (pair(Q) | {f"{Q}.lora_magnitude_vector.weight": torch.ones(8)}, "is a DoRA"),
        (pair(Q) | {f"{Q}.lora_B.bias": torch.ones(8)}, "changes the bias of"),
        (pair(Q) | {f"{Q}.diff_b": torch.ones(8)}, "changes the bias of"),
        (pair(Q) | {"transformer.transformer_blocks.0.norm.diff": torch.ones(8)}, "(diff)"),
        (pair(Q) | {"transformer.transformer_blocks.0.norm_k.weight": torch.ones(8)}, "control"),
        (pair(Q) | {"transformer.proj_out.weight": torch.ones(8)}, "is a weight itself"),
        ({f"{Q}.hada_w1_a": torch.ones(8, 2)}, "is a LoHa"),
        ({f"{Q}.oft_blocks": torch.ones(8, 2)}, "is an OFT"),
        ({f"{Q}.lokr_w1": torch.ones(2, 2), f"{Q}.lokr_t2": torch.ones(2, 2)}, "convolutions"),
        ({"double_blocks.0.img_attn.qkv.weight": torch.ones(8, 4)}, "is no LoRA: it has whole"),
        ({f"{Q}.lora_A.weight": torch.ones(2, 4)}, "is incomplete"),
        ({f"{Q}.lokr_w1": torch.ones(2, 2)}, "is incomplete"),
        ({f"{Q}.lora_B.weight": torch.zeros(8, 2)}, "has no weights that change this model"),
    ],
)
def test_the_sentence_is_chosen_by_what_it_is(tmp_path, tensors, clause):
    assert clause in told(tmp_path, tensors)


def test_the_architecture_is_named_where_the_file_does(tmp_path):
    tensors = pair("model.layers.0.mlp")
    assert "is for hunyuan/lora, not" in told(
        tmp_path, tensors, **{"modelspec.architecture": "hunyuan/lora"}
    )
    assert "names aren't known here" in told(
        tmp_path, tensors, **{"modelspec.architecture": "flux-1-dev/lora"}
    )


def test_a_name_out_of_a_file_is_cut_and_cleaned(tmp_path):
    clause = told(tmp_path, pair("x\n" * 100))
    assert len(clause) < 250
    assert "\n" not in clause
