"""What is carried to a device in pieces arrives whole."""

import pytest
import torch
from conftest import DEMO

from flux_worker.weights import carrier, loading
from flux_worker.weights.checkpoint import Checkpoint

CPU = torch.device("cpu")


def test_what_is_mapped_is_copied_in_pieces(monkeypatch):
    monkeypatch.setattr(carrier, "PIECE", 1000)
    data = torch.arange(10_007).to(torch.uint8)
    into = torch.zeros_like(data)
    with carrier.Carrier(CPU) as carrying:
        carrying.copy(data, into)
    assert torch.equal(into, data)


@pytest.mark.real
def test_a_module_is_moved_as_it_is():
    """To a device that has no memory, but for its dtypes, shapes and names."""
    pipe = loading.load(Checkpoint.read(DEMO), CPU, torch.bfloat16)
    t5 = pipe.text_encoder_2
    before = {name: (each.dtype, each.shape) for name, each in t5.named_parameters()}
    with carrier.Carrier(torch.device("meta")) as carrying:
        carrying.move(t5)
    after = dict(t5.named_parameters())
    assert {name: (each.dtype, each.shape) for name, each in after.items()} == before
    assert all(each.is_meta and not each.requires_grad for each in after.values())
    assert t5.shared.weight is t5.encoder.embed_tokens.weight


def test_what_cant_be_copied_is_an_error():
    with pytest.raises(RuntimeError), carrier.Carrier(CPU) as carrying:
        carrying.copy(torch.zeros(3, dtype=torch.uint8), torch.zeros(5, dtype=torch.uint8))
