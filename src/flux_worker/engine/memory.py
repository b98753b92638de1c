"""Predicts the memory that a plan takes, from the weights' headers and the largest job."""

import math
from dataclasses import dataclass
from typing import Self

from flux_worker.contract.catalog import ServedModel
from flux_worker.engine.plan import GIB, Plan
from flux_worker.pictures.fitting import REFERENCES
from flux_worker.weights.checkpoint import ParameterCounts

DENOISING_BYTES_PER_TOKEN = 111_000
DENOISING_BYTES_PER_TOKEN_IN_INT8 = 176_000
DECODING_BYTES_PER_PIXEL = 1_540
"""Activations in bfloat16 at FLUX's own widths, counted on the meta device by tests; compiled, the
decoder allocated 1,280 bytes a pixel on a CPU."""
MODULATION_BYTES_PER_STEP = 2_101_248
"""What all modulation layers give for a step, in bfloat16 at FLUX's own widths."""
PROMPTS = 2
"""For which that is kept for all steps: with a negative prompt there are two."""
PIXELS_PER_TOKEN = 16
"""Along a side: a latent is 8 pixels wide, a token two latents."""
TILE_PIXELS = 1024 * 1024
"""What a VAE that decodes in tiles decodes at once: the default size, 1024×1024, is whole."""
MARGIN = 3 * GIB // 2
"""For the CUDA context, the libraries' workspaces and what the allocator can't fill."""
HOST_MARGIN = 4 * GIB
"""For the process itself, its libraries and its images; not measured beside a GPU yet."""

HOST_LORAS = 6 * GIB
"""For LoRAs in host memory: those that are held, and the largest one's file while it is read."""


@dataclass(frozen=True)
class Workload:
    """The largest job that a plan must have room for."""

    tokens: int
    """Of text, image and reference, which the transformer sees at once."""
    side: int
    """Pixels of the longest side, which the VAE decodes. To encode as many, it takes less."""
    steps: int

    @classmethod
    def of(cls, model: ServedModel) -> Self:
        """Return the largest that a model's limits allow."""
        width, height = model.parameters.width.high, model.parameters.height.high
        images = [(width, height), *(REFERENCES if "editing" in model.tasks else [])]
        tokens = [math.prod(-(-side // PIXELS_PER_TOKEN) for side in sides) for sides in images]
        return cls(
            tokens[0] + max(tokens[1:], default=0) + model.max_sequence_length,
            max(width, height),
            model.parameters.num_inference_steps.high,
        )


def predict_peak(plan: Plan, counts: ParameterCounts, workload: Workload) -> int:
    """Predict the most memory that is allocated at once, loading included, in bytes."""
    layer = 1 if plan.is_quantized else 2
    modulation = 2 if plan.modulation == "resident" else 0
    transformer = (
        counts.block_layers * layer + counts.modulation * modulation + counts.transformer_rest * 2
    )
    if plan.transformer == "streamed":
        # One block computes while the next is copied.
        transformer = 2 * counts.largest_block * layer + counts.transformer_rest * 2
    text_encoder = {
        "resident": counts.text_encoder * 2,
        "fp8": counts.text_encoder + counts.text_embedding,
        "offloaded": 0,
    }[plan.text_encoder]
    always = transformer + text_encoder + counts.small_components * 2
    pixels = workload.side**2
    if plan.vae_tiling:
        pixels = min(pixels, TILE_PIXELS)
    decoding = pixels * DECODING_BYTES_PER_PIXEL
    # torchao turns a layer into float32 several times over; a block in bf16 is as much.
    quantizes = plan.is_quantized or plan.text_encoder == "fp8"
    loading = 2 * counts.largest_block if quantizes else 0
    int8 = plan.precision == "int8" and plan.quantized_activations
    token = DENOISING_BYTES_PER_TOKEN_IN_INT8 if int8 else DENOISING_BYTES_PER_TOKEN
    if plan.transformer == "resident":
        always += PROMPTS * workload.steps * MODULATION_BYTES_PER_STEP
    return always + max(workload.tokens * token, decoding, loading)


def predict_host(plan: Plan, counts: ParameterCounts) -> int:
    """Predict the most host memory that is taken by what waits there, in bytes.

    It is pinned, by an allocator that must not round up (`PYTORCH_ALLOC_CONF` in the Dockerfile).
    The transformer's blocks are pinned all at once, so that what they are copied from still lives:
    in fp8 all of it; in bf16 the fused projections, a fifth of a single block, and the rest is
    mapped from files.
    """
    waiting = 0
    if plan.modulation == "offloaded":
        waiting += 2 * counts.modulation
    if plan.text_encoder == "offloaded":
        waiting += 2 * counts.text_encoder
    if plan.transformer == "streamed":
        blocks = counts.block_layers + counts.modulation
        waiting += 2 * blocks if plan.is_quantized else 12 * blocks // 5
    return waiting
