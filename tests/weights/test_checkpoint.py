"""What is read of a checkpoint before any of its weights."""

import json
import shutil

import pytest
import torch
from conftest import DEMO
from safetensors import safe_open
from safetensors.torch import save_file

from flux_worker.weights.checkpoint import COMPONENTS, Checkpoint, pipeline_class


def stored(component):
    """How many numbers a component's file holds."""
    (file,) = (DEMO / component).glob("*.safetensors")
    with safe_open(file, "pt") as opened:
        return sum(opened.get_tensor(name).numel() for name in opened.keys())  # noqa: SIM118


def test_the_weights_are_counted_from_their_headers(pipe):
    counted = Checkpoint.read(DEMO).count()
    transformer = pipe.transformer
    assert counted.transformer == sum(p.numel() for p in transformer.parameters())
    blocks = [*transformer.transformer_blocks, *transformer.single_transformer_blocks]
    layers = {
        name: module
        for block in blocks
        for name, module in block.named_modules(prefix=str(id(block)))
        if isinstance(module, torch.nn.Linear)
    }
    modulation = [module for name, module in layers.items() if "norm" in name]
    assert counted.modulation == sum(module.weight.numel() for module in modulation)
    everything = sum(module.weight.numel() for module in layers.values())
    assert counted.block_layers == everything - counted.modulation
    encoder = sum(p.numel() for p in pipe.text_encoder_2.parameters())
    assert counted.text_encoder == pytest.approx(encoder, rel=0.2)  # tied tensors are stored once
    assert counted.text_encoder == stored("text_encoder_2")
    small = [*pipe.text_encoder.parameters(), *pipe.vae.parameters()]
    assert counted.small_components == pytest.approx(sum(p.numel() for p in small), rel=0.05)
    assert counted.small_components == stored("text_encoder") + stored("vae")
    named = [dict(block.named_parameters()) for block in blocks]
    sizes = [sum(p.numel() for k, p in each.items() if k.endswith("weight")) for each in named]
    assert counted.largest_block == max(sizes)


def test_every_tensor_is_known_with_its_place():
    for component in COMPONENTS:
        (file,) = (DEMO / component).glob("*.safetensors")
        stored = {tensor.name: tensor for tensor in Checkpoint.read(DEMO).tensors[component]}
        with safe_open(file, "pt") as opened:
            assert set(stored) == set(opened.keys())
            for name, tensor in stored.items():
                value = opened.get_tensor(name)
                assert tensor.shape == tuple(value.shape)
                assert tensor.count == value.numel()
                data = file.read_bytes()[tensor.begin : tensor.end]
                assert data == value.contiguous().view(-1).view(torch.uint8).numpy().tobytes()


def test_shards_are_read_one_after_the_other(tmp_path):
    (tmp_path / "vae").mkdir()
    save_file({"b": torch.zeros(2)}, tmp_path / "vae/model-00002-of-00002.safetensors")
    save_file({"a": torch.zeros(1)}, tmp_path / "vae/model-00001-of-00002.safetensors")
    assert [tensor.name for tensor in Checkpoint.read(tmp_path).tensors["vae"]] == ["a", "b"]


def test_where_there_are_no_blocks_none_is_the_largest(tmp_path):
    (tmp_path / "transformer").mkdir()
    save_file({"proj_out.weight": torch.zeros(3, 2)}, tmp_path / "transformer/x.safetensors")
    counted = Checkpoint.read(tmp_path).count()
    assert (counted.largest_block, counted.transformer, counted.transformer_rest) == (0, 6, 6)


def test_the_class_is_the_indexs(tmp_path):
    assert pipeline_class(DEMO) == "FluxPipeline"
    assert pipeline_class(tmp_path) is None
    for content in ("", "[]", "{}", json.dumps({"_class_name": ["x"]}), "\xff"):
        (tmp_path / "model_index.json").write_bytes(content.encode("latin-1"))
        assert pipeline_class(tmp_path) is None


def test_a_damaged_header_is_no_checkpoint(tmp_path):
    folder = shutil.copytree(DEMO, tmp_path / "w")
    (file,) = (folder / "vae").glob("*.safetensors")
    file.write_bytes(file.read_bytes()[:100])
    with pytest.raises(ValueError, match=r"JSON|Expecting|Unterminated"):
        Checkpoint.read(folder)
