"""What a plan says of itself."""

import pytest

from flux_worker.engine.plan import GIB, Plan


@pytest.mark.parametrize(
    ("plan", "line"),
    [
        (
            Plan(
                "fp8", text_encoder="fp8", vae_tiling=True, compile=True, quantized_activations=True
            ),
            "transformer fp8 (activations and weights), resident, T5 fp8, VAE tiled, "
            "attention native, compiled",
        ),
        (
            Plan("fp8", transformer="streamed", text_encoder="offloaded"),
            "transformer fp8 (weights only), streamed, T5 offloaded, "
            "VAE whole, attention native, not compiled",
        ),
        (
            Plan("bf16", modulation="offloaded"),
            "transformer bf16, resident, modulation offloaded, T5 resident, "
            "VAE whole, attention native, not compiled",
        ),
        (
            Plan("bf16", attention="cudnn", compile=True, peak=GIB * 5 // 2),
            "transformer bf16, resident, T5 resident, VAE whole, attention cudnn, compiled; "
            "peak about 2.5 GiB",
        ),
        (
            Plan("bf16", text_encoder="offloaded", peak=GIB, host=9 * GIB),
            "transformer bf16, resident, T5 offloaded, VAE whole, attention native, not compiled; "
            "peak about 1.0 GiB, and 9.0 GiB of host memory",
        ),
    ],
)
def test_the_plan_is_one_line(plan, line):
    assert str(plan) == line
