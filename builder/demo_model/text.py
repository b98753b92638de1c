"""Encode prompts as FluxPipeline does, for batches and with a chosen length of the T5 sequence."""

from dataclasses import dataclass

from diffusers import FluxPipeline
from torch import Tensor


@dataclass(frozen=True)
class Embeddings:
    """What the transformer gets of a batch of prompts."""

    pooled: Tensor  # (batch, 128), from CLIP
    sequence: Tensor  # (batch, tokens, 128), from T5


def encode(pipeline: FluxPipeline, prompts: list[str], tokens: int) -> Embeddings:
    """Encode the prompts, T5's padded to `tokens` and unmasked, which is FLUX's way."""
    device = pipeline.text_encoder.device
    # CLIP is causal and read at the end token, so padding to 77 would change nothing.
    clip_ids = pipeline.tokenizer(
        prompts, padding="longest", truncation=True, return_tensors="pt"
    ).input_ids
    t5_ids = pipeline.tokenizer_2(
        prompts, padding="max_length", max_length=tokens, truncation=True, return_tensors="pt"
    ).input_ids
    return Embeddings(
        pooled=pipeline.text_encoder(clip_ids.to(device)).pooler_output,
        sequence=pipeline.text_encoder_2(t5_ids.to(device)).last_hidden_state,
    )
