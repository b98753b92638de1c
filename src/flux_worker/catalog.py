"""The served models, as Runpod's public endpoint documentation states them.

Limits, defaults and prices: https://docs.runpod.io/hub/public-endpoint-reference. Token limits:
the model cards, https://huggingface.co/black-forest-labs/FLUX.1-dev and …/FLUX.1-schnell.
"""

from dataclasses import dataclass
from decimal import Decimal
from typing import Literal

ModelName = Literal["dev", "schnell"]


@dataclass(frozen=True)
class ServedModel:
    """One public endpoint's contract, and the weights that fulfil it by default."""

    name: ModelName
    repository: str
    default_steps: int
    max_steps: int
    max_sequence_length: int
    """T5 tokens that the model was trained with; longer prompts are cut."""
    price_per_megapixel: Decimal
    """US dollars for 1,000,000 pixels of the delivered image."""
    guidance_embeds: bool
    """Whether the transformer takes guidance as an input; the others ignore it."""
    default_jobs_in_flight: int
    """Schnell's generation is short beside encoding and upload, so overlapping them pays; a dev job
    would mostly wait beside the running one while another worker may be idle."""


DEV = ServedModel(
    name="dev",
    repository="black-forest-labs/FLUX.1-dev",
    default_steps=28,
    max_steps=50,
    max_sequence_length=512,
    price_per_megapixel=Decimal("0.02"),
    guidance_embeds=True,
    default_jobs_in_flight=1,
)

SCHNELL = ServedModel(
    name="schnell",
    repository="black-forest-labs/FLUX.1-schnell",
    default_steps=4,
    max_steps=8,
    max_sequence_length=256,
    price_per_megapixel=Decimal("0.0024"),
    guidance_embeds=False,
    default_jobs_in_flight=2,
)

MODELS: dict[ModelName, ServedModel] = {model.name: model for model in (DEV, SCHNELL)}
