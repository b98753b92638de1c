"""What is read of a checkpoint before any of its weights."""

import json
import shutil

import pytest
import torch
from conftest import DEMO
from diffusers import FluxPipeline
from safetensors import safe_open
from safetensors.torch import save_file

from flux_worker.weights.checkpoint import DTYPES, Checkpoint
from flux_worker.weights.layout import WEIGHTS, Unusable


def stored(component):
    """How many numbers a component's file holds."""
    (file,) = (DEMO / component).glob("*.safetensors")
    with safe_open(file, "pt") as opened:
        return sum(opened.get_tensor(name).numel() for name in opened.keys())  # noqa: SIM118


@pytest.mark.real
def test_the_weights_are_counted_from_their_headers():
    counted = Checkpoint.read(DEMO).count()
    pipe = FluxPipeline.from_pretrained(DEMO, dtype=torch.float32)  # its modulation in its blocks
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
    assert counted.text_embedding == pipe.text_encoder_2.get_input_embeddings().weight.numel()
    small = [*pipe.text_encoder.parameters(), *pipe.vae.parameters()]
    assert counted.small_components == pytest.approx(sum(p.numel() for p in small), rel=0.05)
    assert counted.small_components == stored("text_encoder") + stored("vae")
    named = [dict(block.named_parameters()) for block in blocks]
    sizes = [sum(p.numel() for k, p in each.items() if k.endswith("weight")) for each in named]
    assert counted.largest_block == max(sizes)


def test_every_tensor_is_known_with_its_place():
    for component in WEIGHTS:
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
    folder = shutil.copytree(DEMO, tmp_path / "w")
    (whole,) = (folder / "vae").glob("*.safetensors")
    whole.unlink()
    shards = [whole.with_name(f"{whole.stem}-0000{n}-of-00002.safetensors") for n in (1, 2)]
    save_file({"b": torch.zeros(2)}, shards[1])
    save_file({"a": torch.zeros(1)}, shards[0])
    index = {"weight_map": {"b": shards[1].name, "a": shards[0].name}}
    whole.with_name(f"{whole.name}.index.json").write_text(json.dumps(index))
    assert [tensor.name for tensor in Checkpoint.read(folder).tensors["vae"]] == ["a", "b"]


def test_a_tensor_in_two_shards_is_refused(tmp_path):
    """Which of the two is meant, nobody knows."""
    folder = shutil.copytree(DEMO, tmp_path / "w")
    (whole,) = (folder / "vae").glob("*.safetensors")
    shards = [whole.with_name(f"{whole.stem}-0000{n}-of-00002.safetensors") for n in (1, 2)]
    save_file({"a": torch.zeros(1)}, shards[0])
    save_file({"a": torch.ones(1), "b": torch.zeros(2)}, shards[1])
    index = {"weight_map": {"a": shards[0].name, "b": shards[1].name}}
    whole.with_name(f"{whole.name}.index.json").write_text(json.dumps(index))
    with pytest.raises(Unusable, match=f"^vae holds a twice, in {shards[1].name}, too"):
        Checkpoint.read(folder)


def test_weights_in_a_second_precision_are_not_counted(tmp_path):
    folder = shutil.copytree(DEMO, tmp_path / "w")
    for file in folder.glob("*/*.safetensors"):
        shutil.copy(file, file.with_suffix(".fp16.safetensors"))
    read = Checkpoint.read(folder)
    assert read.count() == Checkpoint.read(DEMO).count()


def test_every_type_that_is_read_is_one_of_torchs():
    for dtype in DTYPES.values():
        assert getattr(torch, dtype).is_floating_point


def entry(begin, end, shape=(2,), dtype="F32"):
    return {"dtype": dtype, "shape": shape, "data_offsets": [begin, end]}


@pytest.mark.parametrize(
    ("header", "length", "data"),
    [
        ({}, 2**64 - 1, 0),
        ({}, 2**62, 0),
        ({}, 100_000_001, 0),
        ({}, 3, 0),
        (b"null", None, 0),
        (b"[]", None, 0),
        (b'{"a": null}', None, 0),
        (b"[" * 100_000, None, 0),
        (b'{"a":' * 100_000, None, 0),
        (b"\xff\xfe", None, 0),
        ({"a": {}}, None, 8),
        ({"a": entry(-8, 0)}, None, 8),
        ({"a": entry(0, 80, [20])}, None, 8),
        ({"a": entry(0, 4)}, None, 4),
        ({"a": entry(4, 12)}, None, 12),
        ({"a": entry(0, 8), "b": entry(4, 12)}, None, 12),
        ({"a": entry(0, 8)}, None, 4),
        ({"a": entry(0, 8)}, None, 12),
        ({"a": entry(0, 8, [2**63, 2**63])}, None, 8),
        ({"a": entry(0, 8, [1.5])}, None, 8),
        ({"a": entry(0, 8, dtype="X9")}, None, 8),
    ],
    ids=lambda value: str(value)[:40],
)
def test_a_header_that_is_no_header_or_lies_is_refused(tmp_path, header, length, data):
    folder = shutil.copytree(DEMO, tmp_path / "w")
    (file,) = (folder / "vae").glob("*.safetensors")
    written = header if isinstance(header, bytes) else json.dumps(header).encode()
    begin = (len(written) if length is None else length).to_bytes(8, "little")
    file.write_bytes(begin + written + bytes(data))
    with pytest.raises(Unusable, match=f"^vae/{file.name} can't be read"):
        Checkpoint.read(folder)


def test_what_is_no_safetensors_file_is_not_read_whole(tmp_path):
    folder = shutil.copytree(DEMO, tmp_path / "w")
    (file,) = (folder / "vae").glob("*.safetensors")
    with file.open("wb") as opened:  # it has no blocks on the disk
        opened.write(b"PK\x03\x04" * 4)
        opened.truncate(2**40)
    with pytest.raises(Unusable, match="can't be read"):
        Checkpoint.read(folder)


@pytest.mark.parametrize("size", [0, 5, 100, -1000])
def test_a_file_that_ends_too_early_is_refused(tmp_path, size):
    folder = shutil.copytree(DEMO, tmp_path / "w")
    (file,) = (folder / "vae").glob("*.safetensors")
    file.write_bytes(file.read_bytes()[:size])
    with pytest.raises(Unusable, match=f"^vae/{file.name} can't be read"):
        Checkpoint.read(folder)


def test_a_file_that_is_not_there_is_refused(tmp_path):
    with pytest.raises(Unusable, match=r"^transformer/diffusion_\w+\.safetensors can't be"):
        Checkpoint.read(tmp_path)
