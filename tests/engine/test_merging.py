"""LoRAs in the weights: exact, without a trace, in every plan."""

from itertools import combinations
from random import Random
from threading import Event

import lora_files
import pytest
import torch
from conftest import DEMO, request
from diffusers import FluxPipeline
from drawing import draw, load
from lora_files import save

from flux_worker.adapters import reading
from flux_worker.contract.catalog import DEV
from flux_worker.engine import acceleration, layers
from flux_worker.engine.merging import Merger
from flux_worker.engine.originals import is_quantized
from flux_worker.engine.plan import Plan
from flux_worker.engine.quantization import quantized
from flux_worker.errors import GenerationStopped
from flux_worker.generation.generator import Generator
from flux_worker.generation.inputs import Inputs
from flux_worker.weights.checkpoint import Checkpoint

pytestmark = pytest.mark.real

CPU = torch.device("cpu")
PLANS = {
    "resident": {},
    "originals in the files": {"host_room": 0},
    "modulation offloaded": {"modulation": "offloaded"},
    "transformer streamed": {"transformer": "streamed"},
    "streamed from the files": {"transformer": "streamed", "host_room": 0},
    "fp8": {"precision": "fp8"},
    "fp8 from the files": {"precision": "fp8", "host_room": 0},
    "fp8 streamed": {"precision": "fp8", "transformer": "streamed"},
    "int8": {"precision": "int8", "quantized_activations": True},
}


def planned(**how):
    """The demo's pipeline, made to run as planned."""
    plan = Plan(**{"precision": "fp32", "host_room": 2**30, **how})
    pipe = FluxPipeline.from_pretrained(DEMO, dtype=torch.float32)
    pipe.set_progress_bar_config(disable=True)
    acceleration.apply(pipe, plan, CPU)
    pipe.loras = Merger(pipe, Checkpoint.read(DEMO), plan, CPU)
    return pipe


@pytest.fixture(scope="module")
def adapters(tmp_path_factory):
    """One of every layer, one of some, one of CLIP's."""
    folder, of = tmp_path_factory.mktemp("loras"), lora_files.shapes()
    clip = lora_files.shapes(lora_files.text_encoder())
    known = {f"transformer.{k}": v for k, v in of.items()}
    known |= {f"text_encoder.{k}": v for k, v in clip.items()}
    everything = lora_files.in_diffusers(of, lora_files.factors(of, seed=1))
    some = lora_files.in_diffusers(of, lora_files.factors(of, seed=2))
    some = {name: pair for name, pair in some.items() if "attn.to_" in name or "norm" in name}
    draw_ = torch.Generator().manual_seed(3)
    of_clip = {
        name: (torch.randn(4, i, generator=draw_), torch.randn(o, 4, generator=draw_) / 20)
        for name, (o, i) in clip.items()
    }
    files = {
        "everything": lora_files.diffusers_keys(everything),
        "some": lora_files.diffusers_keys(some),
        "clip": lora_files.diffusers_keys(of_clip, "text_encoder."),
    }
    return {
        name: reading.read(save(keys, folder / f"{name}.safetensors"), known, 256)
        for name, keys in files.items()
    }


def held(pipe):
    """The bytes of all weights that can be changed."""
    found = {}
    for layer in layers.of(pipe):
        weight = layer.module.weight
        parts = (weight.qdata, weight.scale) if is_quantized(weight) else (weight,)
        found[layer.names] = [part.detach().clone().view(torch.uint8) for part in parts]
    return found


def same(one, another):
    return all(
        torch.equal(a, b) for name in one for a, b in zip(one[name], another[name], strict=True)
    )


def merge(pipe, *weighed):
    if not pipe.loras.holds(weighed):
        pipe.loras.merge(weighed, Event())


@pytest.mark.parametrize("how", PLANS)
def test_they_draw_another_picture_and_leave_the_same_one(how, adapters):
    pipe = planned(**PLANS[how])
    before, bytes_ = draw(pipe, num_inference_steps=2), held(pipe)
    loras = [(adapters["everything"], 1.0), (adapters["clip"], 0.5)]
    with_loras = draw(pipe, loras, num_inference_steps=2)
    assert (with_loras != before).any()
    assert not same(held(pipe), bytes_)
    assert (draw(pipe, num_inference_steps=2) == before).all()
    assert same(held(pipe), bytes_)
    assert (draw(pipe, loras, num_inference_steps=2) == with_loras).all()


@pytest.mark.parametrize("how", ["resident", "transformer streamed", "modulation offloaded"])
def test_what_is_held_is_the_sum(how, adapters):
    pipe = planned(**PLANS[how])
    before = {layer.names: layer.module.weight.detach().clone() for layer in layers.of(pipe)}
    weighed = [(adapters["everything"], 0.7), (adapters["some"], -2.0), (adapters["clip"], 1.0)]
    merge(pipe, *weighed)
    changed = 0
    for layer in layers.of(pipe):
        wanted = before[layer.names].clone()
        for adapter, scale in weighed:
            for delta in adapter.deltas:
                for part in delta.parts:
                    if part.layer in layer.names:
                        begin = layer.begin(part.layer)
                        product = scale * delta.scale * (delta.up[part.rows] @ delta.down)
                        wanted[begin : begin + len(product)] += product
        torch.testing.assert_close(layer.module.weight, wanted, rtol=0, atol=1e-6)
        changed += not torch.equal(layer.module.weight, before[layer.names])
    assert changed > 50


def test_bfloat16_is_rounded_once(adapters):
    """To subtract what was added, or to add one after the other, would round again and again."""
    pipe = FluxPipeline.from_pretrained(DEMO, dtype=torch.bfloat16)
    plan = Plan("bf16", host_room=2**30)
    acceleration.apply(pipe, plan, CPU)
    pipe.loras = Merger(pipe, Checkpoint.read(DEMO), plan, CPU)
    layer = next(each for each in layers.of(pipe) if "proj_mlp" in each.names[0])
    before = layer.module.weight.detach().clone()
    weighed = [(adapters["everything"], 0.3), (adapters["everything"], 0.6)]
    merge(pipe, *weighed)
    (delta,) = (
        delta for delta in adapters["everything"].deltas if delta.parts[0].layer == layer.names[0]
    )
    wanted = before.double() + 0.9 * (delta.up.double() @ delta.down.double())
    off = (layer.module.weight.double() - wanted).abs()
    assert (off <= wanted.abs() * 2**-8 + 1e-6).all()
    merge(pipe)
    assert torch.equal(layer.module.weight, before)


def test_fp8_is_quantized_from_the_sum_not_from_itself(adapters):
    exact, pipe = planned(), planned(precision="fp8")
    weighed = (adapters["everything"], 1.0)
    merge(exact, weighed)
    merge(pipe, weighed)
    wanted = planned(precision="fp8")
    for ours, sum_ in zip(layers.of(wanted), layers.of(exact), strict=True):
        if is_quantized(ours.module.weight):
            ours.module.weight.data.copy_(quantized(sum_.module.weight.data, Plan("fp8")))
        else:
            ours.module.weight.data.copy_(sum_.module.weight)
    assert same(held(pipe), held(wanted))


def test_the_same_set_in_any_order_is_there_already(adapters):
    pipe = planned()
    weighed = [(adapters["everything"], 0.5), (adapters["some"], 1.0), (adapters["clip"], 0.0)]
    merge(pipe, *weighed)
    bytes_ = held(pipe)
    assert pipe.loras.holds([weighed[1], weighed[0]])
    assert not pipe.loras.holds([(adapters["everything"], 0.50001), weighed[1]])
    assert not pipe.loras.holds([*weighed, weighed[0]])
    merge(pipe)
    merge(pipe, *reversed(weighed))
    assert same(held(pipe), bytes_)


def test_a_scale_of_nought_is_the_base(adapters):
    pipe = planned()
    assert pipe.loras.holds([(adapters["everything"], 0.0)])


def test_one_lora_twice_counts_twice(adapters):
    pipe = planned()
    merge(pipe, (adapters["some"], 0.25), (adapters["some"], 0.5))
    twice = held(pipe)
    merge(pipe, (adapters["some"], 0.75))
    once = held(pipe)
    for name in once:
        a, b = (each[name][0].view(torch.float32) for each in (once, twice))
        torch.testing.assert_close(a, b, rtol=0, atol=1e-6)


def cut_short(patched, layers_left, kind):
    """Have a merge end after so many layers: return what stops it, or have it fail."""
    stop, write, left = Event(), Merger._write, iter(range(layers_left))

    def end(merger, layer, weights):
        if next(left, None) is None:
            stop.set()
            if kind == "failed":
                raise torch.OutOfMemoryError("CUDA out of memory")
        write(merger, layer, weights)

    patched.setattr(Merger, "_write", end)
    return stop


@pytest.mark.parametrize("how", ["resident", "originals in the files", "fp8", "fp8 streamed"])
def test_nothing_stays_after_any_switches_stops_and_failures(how, adapters, monkeypatch):
    pipe = planned(**PLANS[how])
    bytes_, random = held(pipe), Random(7)
    alone = {}
    for name, adapter in adapters.items():
        merge(pipe, (adapter, 1.0))
        alone[name] = held(pipe)
        merge(pipe)
    for _ in range(25):
        chosen = random.sample(sorted(adapters), random.randint(0, 3))
        weighed = [(adapters[name], random.choice([-1.0, 0.0, 1.0, 2.5])) for name in chosen]
        if pipe.loras.holds(weighed):
            continue
        kind = random.choice(["done", "stopped", "failed"])
        if kind == "done":
            merge(pipe, *weighed)
            continue
        with monkeypatch.context() as patched:
            stop = cut_short(patched, random.randrange(60), kind)
            try:
                pipe.loras.merge(weighed, stop)
            except (GenerationStopped, torch.OutOfMemoryError):
                assert not pipe.loras.holds(weighed)
                assert not pipe.loras.holds([])
        if random.random() < 0.5:
            name = random.choice(sorted(adapters))
            merge(pipe, (adapters[name], 1.0))
            assert same(held(pipe), alone[name])
    merge(pipe)
    assert same(held(pipe), bytes_)


def test_a_pipeline_as_it_is_loaded_can_take_them(adapters):
    pipe = load()
    assert (
        draw(pipe, [(adapters["some"], 3.0)], num_inference_steps=1)
        != draw(pipe, num_inference_steps=1)
    ).any()


def test_rows_that_change_places_go_where_they_belong(tmp_path, pipe):
    """Shift and scale of the final layer, in Black Forest Labs' names."""
    name = "transformer.norm_out.linear"
    outputs, inputs = pipe.loras.layers[name]
    down, up = torch.randn(2, inputs), torch.randn(outputs, 2)
    keys = lora_files.kohya_keys({"final_layer.adaLN_modulation.1": (down, up)}, alpha=2)
    file = save(keys, tmp_path / "lora.safetensors")
    adapter = reading.read(file, pipe.loras.layers, 256)
    before = pipe.transformer.norm_out.linear.weight.detach().clone()
    merge(pipe, (adapter, 1.0))
    added = pipe.transformer.norm_out.linear.weight - before
    merge(pipe)
    shift, scale = (up @ down).chunk(2)
    torch.testing.assert_close(added, torch.cat([scale, shift]), rtol=0, atol=1e-5)


def test_kept_embeddings_are_those_of_the_clip_that_is_merged(adapters):
    pipe = planned()
    generator = Generator(pipe, DEV)

    def made(given, *loras):
        return given.generate(request(), Inputs(loras), Event()).pixels

    once, strongly = (adapters["clip"], 1.0), (adapters["clip"], 3.0)
    wanted = [(), (once,), (strongly,), (once, once), ()]
    pictures = [made(generator, *loras) for loras in wanted]
    for loras, picture in zip(wanted, pictures, strict=True):
        assert (picture == made(Generator(pipe, DEV), *loras)).all()
    assert (pictures[0] == pictures[4]).all()
    assert all((one != other).any() for one, other in combinations(pictures[:4], 2))
