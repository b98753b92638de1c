"""What makes the model quicker or smaller leaves its pictures as they are."""

import lora_files
import pytest
import torch
from conftest import DEMO
from diffusers import FluxPipeline
from drawing import differ, draw, draw_on_white, load
from PIL import Image
from torch._dynamo.utils import counters

from builder.demo_model.judge import look
from flux_worker.engine import acceleration
from flux_worker.engine.plan import Plan

pytestmark = pytest.mark.real


@pytest.fixture(scope="module")
def plain():
    """diffusers' pipeline as it comes."""
    return draw(FluxPipeline.from_pretrained(DEMO, dtype=torch.float32))


def test_fused_projections_change_nothing_and_leave_nothing_twice(pipe, plain):
    assert differ(draw(pipe), plain) < 0.01
    names = {name.rpartition(".")[2] for name, _ in pipe.transformer.named_modules()}
    assert {"to_qkv", "to_added_qkv"} <= names
    assert not {"to_q", "to_k", "to_v", "add_q_proj"} & names


def test_compiled_blocks_change_nothing_and_serve_every_size_task_and_lora(pipe, plain, tmp_path):
    before = counters["stats"]["unique_graphs"]
    quick = load(compile=True)
    assert differ(draw(quick), plain) < 0.05
    compiled = counters["stats"]["unique_graphs"]
    assert compiled - before == 2  # one for each kind of block
    sides = range(256, 896, 64)
    for width, height in zip(sides, reversed(sides), strict=True):
        draw(quick, width=width, height=height, num_inference_steps=1)
    draw(quick, negative_prompt="blue", num_inference_steps=1)
    assert differ(draw_on_white(quick), draw_on_white(pipe)) < 0.05
    for seed, scale in ((1, 4.0), (2, -4.0)):
        loras = [(lora_files.adapter(tmp_path, pipe.loras.layers, seed), scale)]
        with_loras = draw(quick, loras)
        assert differ(with_loras, draw(pipe, loras)) < 0.05
        assert differ(with_loras, plain) > 1
    assert differ(draw(quick), plain) < 0.05
    assert counters["stats"]["unique_graphs"] == compiled


@pytest.mark.parametrize(
    ("precision", "dtype"), [("fp8", torch.float8_e4m3fn), ("int8", torch.int8)]
)
def test_eight_bits_draw_the_same_picture(plain, precision, dtype):
    pipe = load(precision=precision)
    weight = pipe.transformer.transformer_blocks[0].ff.net[2].weight
    assert weight.qdata.dtype == dtype
    kept = (pipe.transformer.x_embedder, pipe.transformer.proj_out)
    modulation = pipe.transformer.time_text_embed.resident[0]
    assert all(module.weight.dtype == torch.float32 for module in (*kept, modulation))
    pixels = draw(pipe)
    assert 0 < differ(pixels, plain) < 8
    seen = look(Image.fromarray(pixels))
    assert (seen.background, seen.colour) == ("white", "red")


@pytest.mark.parametrize("how", [{"text_encoder": "offloaded"}, {"transformer": "streamed"}])
def test_what_waits_in_host_memory_computes_the_same(plain, how):
    pipe = FluxPipeline.from_pretrained(DEMO, dtype=torch.float32)
    acceleration.apply(pipe, Plan("fp32", **how), torch.device("cpu"))
    assert differ(draw(pipe), plain) < 0.01


def test_the_stages_of_loading_say_what_was_done(caplog):
    caplog.set_level("INFO", "flux_worker")
    load()
    lines = [each.fields for each in caplog.records if each.message == "start-up stage"]
    weights, device, compiling = (
        {k: v for k, v in line.items() if k != "seconds"} for line in lines
    )
    stored = sum(path.stat().st_size for path in DEMO.rglob("*.safetensors")) / 1e9
    assert weights.pop("gigabytes_per_second") > 0
    assert weights.pop("gigabytes") == pytest.approx(stored, rel=0.02)
    assert weights == {"stage": "weights", "road": "MODEL_PATH"}
    assert device.pop("plan").startswith("transformer fp32, resident, T5 resident, VAE whole")
    assert device == {"stage": "device", "device": "cpu"}
    assert compiling == {"stage": "compile", "blocks": "eager", "decoder": "eager"}
