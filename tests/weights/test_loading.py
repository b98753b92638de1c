"""The worker's own reading of weights gives what diffusers and transformers give."""

import shutil

import pytest
import torch
from conftest import DEMO
from diffusers import FluxPipeline
from safetensors.torch import load_file, save_file

from flux_worker.weights import carrier, loading
from flux_worker.weights.checkpoint import Checkpoint
from flux_worker.weights.layout import LARGE

pytestmark = pytest.mark.real

CPU = torch.device("cpu")


def state(pipe):
    parts = (pipe.transformer, pipe.text_encoder_2, pipe.text_encoder, pipe.vae)
    return [part.state_dict() for part in parts]


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32])
def test_every_tensor_is_what_diffusers_loads(dtype):
    ours = loading.load(Checkpoint.read(DEMO), CPU, dtype)
    for one, another in zip(
        state(ours), state(FluxPipeline.from_pretrained(DEMO, dtype=dtype)), strict=True
    ):
        assert one.keys() == another.keys()
        for name, tensor in one.items():
            assert tensor.dtype == another[name].dtype
            assert torch.equal(tensor, another[name]), name
    assert not any(parameter.requires_grad for parameter in ours.transformer.parameters())


def test_pieces_and_shards_are_put_together(tmp_path, monkeypatch):
    monkeypatch.setattr(carrier, "PIECE", 1000)
    folder = shutil.copytree(DEMO, tmp_path / "w")
    pipe = FluxPipeline.from_pretrained(DEMO, dtype=torch.float32)
    shutil.rmtree(folder / "transformer")
    pipe.transformer.save_pretrained(folder / "transformer", max_shard_size="1MB")
    assert len(list((folder / "transformer").glob("*.safetensors"))) > 3
    checkpoint = Checkpoint.read(folder)
    for read in (loading.mapped(checkpoint, torch.float32), loading.copied(checkpoint, CPU)):
        for name, tensor in pipe.transformer.state_dict().items():
            assert torch.equal(read["transformer"][name], tensor)
            assert read["transformer"][name].dtype == torch.float32


def test_a_file_is_mapped_once_for_all_of_its_tensors(monkeypatch):
    mapped = []
    from_file = torch.from_file

    def map_and_note(name, **given):
        mapped.append(name)
        return from_file(name, **given)

    monkeypatch.setattr(torch, "from_file", map_and_note)
    checkpoint = Checkpoint.read(DEMO)
    loading.mapped(checkpoint, torch.bfloat16)
    large = (checkpoint.tensors[name] for name in LARGE)
    assert sorted(mapped) == sorted({str(tensor.file) for part in large for tensor in part})


@pytest.mark.parametrize(
    ("device", "dtype", "way"),
    [
        ("cuda", torch.bfloat16, loading.copied),
        ("cuda", torch.float32, loading.mapped),
        ("cpu", torch.bfloat16, loading.mapped),
    ],
)
def test_only_what_needs_no_conversion_is_copied_to_a_gpu(device, dtype, way):
    """The demo weights are stored in bfloat16."""
    chosen = loading.way_to(torch.device(device), dtype, Checkpoint.read(DEMO))
    assert chosen.func is way


def test_one_tensor_of_another_type_has_all_of_them_converted(tmp_path):
    folder = shutil.copytree(DEMO, tmp_path / "w")
    (file,) = (folder / "transformer").glob("*.safetensors")
    tensors = load_file(file)
    name = next(iter(tensors))
    save_file({**tensors, name: tensors[name].float()}, file)
    chosen = loading.way_to(torch.device("cuda"), torch.bfloat16, Checkpoint.read(folder))
    assert chosen.func is loading.mapped
