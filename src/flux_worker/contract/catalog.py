"""The served models. Each owns everything that its page documents, and nothing else repeats it.

Limits, defaults, prices and ids of dev, schnell and Kontext are those of Runpod's public endpoints,
https://docs.runpod.io/public-endpoints/reference and …/public-endpoints/models/flux-kontext-dev.
Token limits are the model cards': https://huggingface.co/black-forest-labs/FLUX.1-dev,
…/FLUX.1-schnell and …/FLUX.1-Kontext-dev. FLUX.1-Krea-dev,
https://huggingface.co/black-forest-labs/FLUX.1-Krea-dev, has dev's architecture and no public
endpoint: its limits are dev's, and its price is the operator's, by default dev's. `strength` is
that of Runpod's endpoints that have it,
https://docs.runpod.io/public-endpoints/models/z-image-turbo.
"""

from dataclasses import dataclass, fields, replace
from decimal import Decimal
from typing import Any, Generic, Literal, TypeVar

from flux_worker.contract.formats import JPEG, PNG

Real = TypeVar("Real", int, float)
Task = Literal["text-to-image", "image-to-image", "inpainting", "editing"]
"""What a model makes of a request: `generation.tasks` has a function for each."""
PICTURES: dict[Task, frozenset[str]] = {
    "text-to-image": frozenset(),
    "image-to-image": frozenset({"image"}),
    "inpainting": frozenset({"image", "mask_image"}),
    "editing": frozenset({"image"}),
}
"""The pictures that each task begins with, by the names of a request's parameters."""

FLUX_DEV_LICENCE = "FLUX.1 [dev] Non-Commercial License"
"""Of the weights of FLUX.1-dev and of all that are made from it: their repositories' LICENSE.md."""


@dataclass(frozen=True)
class Bounds(Generic[Real]):
    """What a number may be, both ends included, and what it is where the caller doesn't say."""

    low: Real
    high: Real
    default: Real


@dataclass(frozen=True)
class Price:
    """US dollars for 1,000,000 delivered pixels, or for an image of whatever size."""

    amount: Decimal
    per: Literal["megapixel", "image"] = "megapixel"


@dataclass(frozen=True)
class Parameters:
    """A model's limits and defaults, by the names of a request's parameters."""

    num_inference_steps: Bounds[int]
    width: Bounds[int] = Bounds(256, 1536, 1024)
    height: Bounds[int] = Bounds(256, 1536, 1024)
    guidance: Bounds[float] = Bounds(0.0, 10.0, 7.5)
    true_cfg_scale: Bounds[float] = Bounds(1.0, 10.0, 2.0)
    """The default lies between the 1.5 of diffusers' first FLUX example with negative prompts
    (huggingface/diffusers pull request 9445) and the 4.0 that PuLID-FLUX uses: it steers, at little
    cost in saturation."""
    strength: Bounds[float] | None = Bounds(0.0, 1.0, 0.8)
    """None where a picture is a reference and not a beginning."""
    seed: Bounds[int] = Bounds(-1, 2**63 - 1, -1)
    """-1 has one drawn."""
    image_format: str = JPEG.name
    """The default."""

    def defaults(self) -> dict[str, Any]:
        """Return each parameter's default."""
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        return {k: v.default if isinstance(v, Bounds) else v for k, v in values.items()}


@dataclass(frozen=True)
class ServedModel:
    """A contract, and the weights that fulfil it unless MODEL_PATH names others."""

    name: str
    """What FLUX_MODEL calls it."""
    title: str
    """What people call it."""
    repository: str
    endpoint_id: str
    """Of Runpod's public endpoint, or the id that would be in line with the others'."""
    parameters: Parameters
    price: Price
    max_sequence_length: int
    """T5 tokens that the model was trained with; longer prompts are cut."""
    guidance_embeds: bool
    """Whether the transformer takes guidance as an input; the others ignore it."""
    licence: str
    """Of the weights, and of those that are made from them."""
    tasks: tuple[Task, ...] = ("text-to-image", "image-to-image", "inpainting")
    """What it can make; the pictures in a request tell which."""
    pipeline_classes: tuple[str, ...] = (
        "FluxPipeline",
        "FluxImg2ImgPipeline",
        "FluxInpaintPipeline",
    )
    """What `model_index.json` calls weights that fit, the official weights' class first. The others
    have the same components, and fine-tunes bear the name of the one that they were saved from."""


DEV = ServedModel(
    name="dev",
    title="FLUX.1-dev",
    repository="black-forest-labs/FLUX.1-dev",
    endpoint_id="black-forest-labs-flux-1-dev",
    parameters=Parameters(num_inference_steps=Bounds(1, 50, 28)),
    price=Price(Decimal("0.02")),
    max_sequence_length=512,
    guidance_embeds=True,
    licence=FLUX_DEV_LICENCE,
)

SCHNELL = ServedModel(
    name="schnell",
    title="FLUX.1-schnell",
    repository="black-forest-labs/FLUX.1-schnell",
    endpoint_id="black-forest-labs-flux-1-schnell",
    parameters=Parameters(num_inference_steps=Bounds(1, 8, 4)),
    price=Price(Decimal("0.0024")),
    max_sequence_length=256,
    guidance_embeds=False,
    licence="Apache-2.0",
)

KREA_DEV = replace(
    DEV,
    name="krea-dev",
    title="FLUX.1-Krea-dev",
    repository="black-forest-labs/FLUX.1-Krea-dev",
    endpoint_id="black-forest-labs-flux-1-krea-dev",
)

KONTEXT = ServedModel(
    name="kontext",
    title="FLUX.1-Kontext-dev",
    repository="black-forest-labs/FLUX.1-Kontext-dev",
    endpoint_id="black-forest-labs-flux-1-kontext-dev",
    parameters=Parameters(
        num_inference_steps=Bounds(1, 50, 28),
        guidance=Bounds(0.0, 10.0, 2.0),
        strength=None,
        image_format=PNG.name,
    ),
    price=Price(Decimal("0.025"), per="image"),
    max_sequence_length=512,
    guidance_embeds=True,
    licence=FLUX_DEV_LICENCE,
    tasks=("editing",),
    pipeline_classes=("FluxKontextPipeline",),
)

MODELS = {model.name: model for model in (DEV, SCHNELL, KREA_DEV, KONTEXT)}
