"""What a plan is predicted to take, beside what is really allocated."""

from dataclasses import replace

import pytest
import torch
from allocations import Allocated
from cards import FLUX
from diffusers import AutoencoderKL, FluxTransformer2DModel
from torch.nn import functional

from flux_worker.contract.catalog import DEV, KONTEXT, SCHNELL, Bounds
from flux_worker.engine import memory, vae
from flux_worker.engine.block_packages import blocks
from flux_worker.engine.fusion import fuse_projections
from flux_worker.engine.memory import Workload, predict_peak
from flux_worker.engine.plan import Plan
from flux_worker.engine.quantization import quantize_block


def test_the_largest_job_is_what_the_limits_allow():
    assert Workload.of(DEV) == Workload(tokens=96 * 96 + 512, side=1536, steps=50)
    assert Workload.of(SCHNELL).tokens == 96 * 96 + 256
    longest_reference = 83 * 50  # 1328×800
    assert Workload.of(KONTEXT).tokens == 96 * 96 + 512 + longest_reference
    wide = replace(DEV.parameters, width=Bounds(256, 2000, 1024))
    assert Workload.of(replace(DEV, parameters=wide)) == Workload(125 * 96 + 512, 2000, 50)


def peak(plan, workload):
    return predict_peak(plan, FLUX, workload)


def test_a_peak_grows_with_the_workload_by_what_its_larger_stage_takes():
    plan, small = Plan("bf16"), Workload(tokens=4000, side=256, steps=0)
    more_tokens = replace(small, tokens=5000)
    grown = peak(plan, more_tokens) - peak(plan, small)
    assert grown == 1000 * memory.DENOISING_BYTES_PER_TOKEN
    large, larger = (Workload(tokens=1, side=side, steps=0) for side in (1024, 1040))
    pixels = 1040**2 - 1024**2
    assert peak(plan, larger) - peak(plan, large) == pixels * memory.DECODING_BYTES_PER_PIXEL
    assert peak(replace(plan, vae_tiling=True), larger) == peak(plan, large)


def test_every_number_takes_the_bytes_of_its_type():
    idle = Workload(tokens=0, side=0, steps=0)
    rest = FLUX.transformer_rest + FLUX.small_components
    whole = FLUX.block_layers + FLUX.modulation + FLUX.text_encoder + rest
    assert peak(Plan("bf16"), idle) == 2 * whole
    smallest = Plan("fp8", modulation="offloaded", text_encoder="fp8")
    in_fp8 = FLUX.block_layers + FLUX.text_encoder
    rest += FLUX.text_embedding / 2
    loading = 2 * FLUX.largest_block
    assert peak(smallest, idle) == in_fp8 + 2 * rest + loading
    streamed = replace(smallest, transformer="streamed")
    in_fp8 = 2 * FLUX.largest_block + FLUX.text_encoder
    assert peak(streamed, idle) == in_fp8 + 2 * rest + loading


def test_a_gigabyte_and_a_half_stays_free():
    assert memory.MARGIN == 1.5 * 2**30


def test_a_tiled_vae_takes_a_tile_whatever_the_side():
    tiled = Plan("bf16", vae_tiling=True)
    peaks = {peak(tiled, Workload(tokens=1, side=side, steps=0)) for side in (1024, 1040, 1536)}
    assert len(peaks) == 1
    assert peak(tiled, Workload(tokens=1, side=1008, steps=0)) < peaks.pop()


def test_what_waits_in_host_memory_takes_none_of_the_cards():
    workload = Workload.of(DEV)
    whole = peak(Plan("bf16"), workload)
    without_t5 = peak(Plan("bf16", text_encoder="offloaded"), workload)
    assert whole - without_t5 == 2 * FLUX.text_encoder
    without_modulation = peak(Plan("bf16", modulation="offloaded"), workload)
    assert whole - without_modulation == 2 * FLUX.modulation
    streamed = peak(Plan("bf16", transformer="streamed"), workload)
    waiting = FLUX.block_layers + FLUX.modulation - 2 * FLUX.largest_block
    tables = 50 * 2 * memory.MODULATION_BYTES_PER_STEP  # there each block has its own layers
    assert whole - streamed == 2 * waiting + tables


def test_what_waits_in_host_memory_is_counted_there():
    def host(precision, **where):
        return memory.predict_host(Plan(precision, **where), FLUX)

    assert host("bf16") == host("fp8", text_encoder="fp8") == 0
    assert host("bf16", modulation="offloaded") == 2 * FLUX.modulation
    assert host("fp8", text_encoder="offloaded") == 2 * FLUX.text_encoder
    blocks = FLUX.block_layers + FLUX.modulation
    assert host("fp8", transformer="streamed") == 2 * blocks  # each twice while it is pinned
    fused = 57 * 3 * 3072**2 + 19 * 3 * 3072**2
    assert host("bf16", transformer="streamed") >= 2 * (blocks + fused)


def test_fp8_halves_what_is_held_in_it():
    workload = Workload.of(DEV)
    bf16, fp8 = (peak(Plan(precision), workload) for precision in ("bf16", "fp8"))
    assert bf16 - fp8 == FLUX.block_layers
    text_layers = FLUX.text_encoder - FLUX.text_embedding
    assert fp8 - peak(Plan("fp8", text_encoder="fp8"), workload) == text_layers


def test_the_modulation_of_every_step_is_kept_for_two_prompts():
    """Tables of as many rows as there are steps: a row is an output of every modulation layer."""
    widths = sum(6 * 2 * 3072 for _ in range(19)) + sum(3 * 3072 for _ in range(38))
    assert widths * 2 == memory.MODULATION_BYTES_PER_STEP
    one, more = (Workload(tokens=1, side=1, steps=steps) for steps in (1, 51))
    grown = peak(Plan("bf16"), more) - peak(Plan("bf16"), one)
    assert grown == 50 * 2 * memory.MODULATION_BYTES_PER_STEP


def peak_bytes(run):
    with torch.no_grad(), Allocated() as allocated:
        run()
    return allocated.peak


def empty(*shape):
    return torch.empty(*shape, dtype=torch.bfloat16, device="meta")


@pytest.fixture
def kernels_of_a_gpu(monkeypatch):
    """Theirs allocate otherwise than the meta device's."""
    normalized, convolved = functional.group_norm, functional.conv2d

    def attend(query=None, key=None, value=None, **_):
        return torch.empty_like(query)  # the scores are never written down

    def normalize(given, *arguments):
        return normalized(given.contiguous(), *arguments)

    def convolve(given, weight, *arguments):
        channels_last = not weight.is_contiguous() and weight.is_contiguous(
            memory_format=torch.channels_last
        )
        layout = torch.channels_last if channels_last else torch.contiguous_format
        return convolved(given.contiguous(memory_format=layout), weight, *arguments)

    monkeypatch.setattr(functional, "scaled_dot_product_attention", attend)
    monkeypatch.setattr(functional, "group_norm", normalize)
    monkeypatch.setattr(functional, "conv2d", convolve)


@pytest.mark.usefixtures("kernels_of_a_gpu")
@pytest.mark.parametrize(
    ("plan", "predicted"),
    [
        (Plan("bf16"), memory.DENOISING_BYTES_PER_TOKEN),
        (Plan("int8", quantized_activations=True), memory.DENOISING_BYTES_PER_TOKEN_IN_INT8),
    ],
    ids=str,
)
def test_the_predicted_activations_are_those_of_the_denoising(plan, predicted):
    with torch.device("meta"):
        transformer = FluxTransformer2DModel(
            num_layers=1, num_single_layers=1, guidance_embeds=True
        )
    transformer.to(torch.bfloat16)
    for block in blocks(transformer):
        fuse_projections(block)
        if plan.is_quantized:
            quantize_block(block, plan)

    def denoise(tokens):
        text = {"encoder_hidden_states": empty(1, 512, 4096), "txt_ids": empty(512, 3)}
        image = {"hidden_states": empty(1, tokens, 64), "img_ids": empty(tokens, 3)}
        numbers = {"timestep": empty(1), "guidance": empty(1), "pooled_projections": empty(1, 768)}
        return peak_bytes(lambda: transformer(**text, **image, **numbers))

    per_token = (denoise(9216) - denoise(1024)) / (9216 - 1024)
    assert per_token == pytest.approx(predicted, rel=0.02)


def planned_vae(plan):
    """FLUX's own, without numbers, as it is served by that plan."""
    with torch.device("meta"):
        model = AutoencoderKL(
            down_block_types=["DownEncoderBlock2D"] * 4,
            up_block_types=["UpDecoderBlock2D"] * 4,
            block_out_channels=(128, 256, 512, 512),
            layers_per_block=2,
            latent_channels=16,
        )
    vae.prepare(model.to(torch.bfloat16), plan)
    return model


def decoded_bytes(model, side):
    return peak_bytes(lambda: model.decode(empty(1, 16, side // 8, side // 8)))


def encoded_bytes(model, side):
    return peak_bytes(lambda: model.encode(empty(1, 3, side, side)))


@pytest.mark.usefixtures("kernels_of_a_gpu")
def test_the_predicted_activations_are_those_of_the_vae():
    model = planned_vae(Plan("bf16"))

    def per_pixel(work):
        return (work(model, 1024) - work(model, 512)) / (1024**2 - 512**2)

    decoding = per_pixel(decoded_bytes)
    assert decoding == pytest.approx(memory.DECODING_BYTES_PER_PIXEL, rel=0.02)
    assert per_pixel(encoded_bytes) < decoding


@pytest.mark.usefixtures("kernels_of_a_gpu")
@pytest.mark.parametrize("side", [1024, 1040, 1536])
def test_a_tiled_vae_takes_no_more_than_is_predicted(side):
    planned = planned_vae(Plan("bf16", vae_tiling=True))
    assert decoded_bytes(planned, side) <= memory.TILE_PIXELS * memory.DECODING_BYTES_PER_PIXEL
    assert encoded_bytes(planned, side) <= memory.TILE_PIXELS * memory.DECODING_BYTES_PER_PIXEL
