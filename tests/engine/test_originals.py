"""Where the original weights are kept: on the card, in host memory, or in the files alone."""

import pytest
import torch
from conftest import DEMO

from flux_worker.engine.layers import Layer
from flux_worker.engine.originals import Originals
from flux_worker.engine.plan import Plan
from flux_worker.weights.checkpoint import Checkpoint

CARD, HOST = torch.device("meta"), torch.device("cpu")
STORED = "transformer.single_transformer_blocks.0.proj_mlp"


@pytest.fixture(scope="module")
def checkpoint():
    return Checkpoint.read(DEMO)


@pytest.fixture
def layer(checkpoint):
    return stored_layer(checkpoint, "transformer", STORED)


def stored_layer(checkpoint, component, *names):
    tensors = {f"{component}.{t.name}": t for t in checkpoint.tensors[component]}
    outputs, inputs = tensors[f"{names[0]}.weight"].shape
    module = torch.nn.Linear(inputs, outputs * len(names), bias=False)
    return Layer(module, names)


def size(layer):
    return layer.module.weight.nbytes


@pytest.mark.parametrize(
    ("room", "host_room", "place"), [(1.0, 1.0, CARD), (0.99, 1.0, HOST), (1.5, 0, CARD)]
)
def test_they_are_kept_where_there_is_room(checkpoint, layer, room, host_room, place):
    bytes_ = size(layer)
    plan = Plan("fp32", room=int(room * bytes_), host_room=int(host_room * bytes_))
    originals = Originals(checkpoint, plan, CARD)
    kept = originals.of(layer)
    assert kept.device == place
    assert kept.shape == layer.module.weight.shape


def test_a_copy_outlives_the_change(checkpoint, layer):
    originals = Originals(checkpoint, Plan("fp32", host_room=size(layer)), HOST)
    before = layer.module.weight.detach().clone()
    originals.of(layer)
    layer.module.weight.data.zero_()
    assert torch.equal(originals.of(layer), before)
    assert originals.changed() == [layer]


def test_without_room_they_are_read_from_the_files(checkpoint, pipe):
    names = [f"transformer.single_transformer_blocks.0.attn.to_{which}" for which in "qkv"]
    layer = stored_layer(checkpoint, "transformer", *names)
    layer.module.weight.data.fill_(7)
    kept = Originals(checkpoint, Plan("fp32"), HOST).of(layer)
    fused = pipe.transformer.single_transformer_blocks[0].attn.to_qkv.weight
    assert torch.equal(kept, fused)


def test_what_isnt_in_the_files_is_kept_in_any_case(checkpoint):
    layer = Layer(torch.nn.Linear(2, 2), ("text_encoder.of.a.name.of.its.own",))
    before = layer.module.weight.detach().clone()
    originals = Originals(checkpoint, Plan("fp32"), HOST)
    originals.of(layer)
    layer.module.weight.data.zero_()
    assert torch.equal(originals.of(layer), before)


def test_room_that_is_given_back_can_be_had_again(checkpoint, layer):
    originals = Originals(checkpoint, Plan("fp32", room=size(layer)), CARD)
    other = stored_layer(checkpoint, "transformer", STORED)
    assert originals.of(layer).device == CARD
    assert originals.of(other).device == HOST
    originals.forget(layer)
    originals.forget(other)
    assert originals.of(other).device == CARD
    assert originals.changed() == [other]
