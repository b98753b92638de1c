"""Predicts the memory that a plan takes, from the weights' headers and the largest job."""

from dataclasses import dataclass
from typing import Self

from flux_worker.contract.catalog import ServedModel
from flux_worker.engine.plan import GIB, Plan
from flux_worker.weights.checkpoint import ParameterCounts

DENOISING_BYTES_PER_TOKEN = 96_400
DECODING_BYTES_PER_PIXEL = 1_540
"""Activations in bfloat16 at FLUX's own widths, counted on the meta device by tests; compiled, the
decoder allocated 1,280 bytes a pixel on a CPU."""
PIXELS_PER_TOKEN = 16
"""Along a side: a latent is 8 pixels wide, a token two latents."""
TILE_PIXELS = 1024 * 1024
"""What a VAE that decodes in tiles decodes at once: the default size, 1024×1024, is whole."""
MARGIN = 3 * GIB // 2
"""For the CUDA context, the libraries' workspaces and what the allocator can't fill."""


@dataclass(frozen=True)
class Workload:
    """The largest job that a plan must have room for."""

    tokens: int
    """Of text and image, which the transformer sees at once."""
    side: int
    """Pixels of the longest side, which the VAE decodes. If it encodes as many, it takes less."""

    @classmethod
    def of(cls, model: ServedModel) -> Self:
        """Return the largest that a model's limits allow."""
        width, height = model.parameters.width.high, model.parameters.height.high
        across, down = (-(-side // PIXELS_PER_TOKEN) for side in (width, height))
        return cls(across * down + model.max_sequence_length, max(width, height))


def predict_peak(plan: Plan, counts: ParameterCounts, workload: Workload) -> int:
    """Predict the most memory that is allocated at once, in bytes."""
    layer = 1 if plan.precision == "fp8" else 2
    modulation = 1 if plan.fp8_modulation else 2
    transformer = (
        counts.block_layers * layer + counts.modulation * modulation + counts.transformer_rest * 2
    )
    if plan.transformer == "streamed":
        # One block computes while the next is copied.
        transformer = 2 * counts.largest_block * layer + counts.transformer_rest * 2
    t5 = {"resident": 2, "fp8": 1, "offloaded": 0}[plan.text_encoder]
    text_encoder = counts.text_encoder * t5
    always = transformer + text_encoder + counts.small_components * 2
    pixels = workload.side**2
    if plan.vae_tiling:
        pixels = min(pixels, TILE_PIXELS)
    decoding = pixels * DECODING_BYTES_PER_PIXEL
    return always + max(workload.tokens * DENOISING_BYTES_PER_TOKEN, decoding)
