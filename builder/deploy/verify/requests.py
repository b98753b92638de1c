"""What is asked: first what the README documents, then small variations of one picture."""

from decimal import Decimal
from typing import Any

from flux_worker.contract import pricing
from flux_worker.contract.catalog import Price, ServedModel

Input = dict[str, Any]
SIDE = 512
"""Pixels of the varied picture: FLUX draws it, and it costs a quarter of the default one."""


def documented(steps: int | None) -> Input:
    """Return docs/deployment.md's request."""
    return {"prompt": "A serene mountain landscape at sunset", "guidance": 7.5, **_steps(steps)}


def plain(steps: int | None) -> Input:
    """Return the request that is varied."""
    return {
        "prompt": "A red square on a white background",
        "width": SIDE,
        "height": SIDE,
        "seed": 7,
        "image_format": "png",
        **_steps(steps),
    }


def variations(model: ServedModel, steps: int | None) -> dict[str, Input]:
    """Return what changes that picture, by name."""
    asked = plain(steps)
    guidance = {"another guidance": {**asked, "guidance": 1.5}} if model.guidance_embeds else {}
    return {
        "another seed": {**asked, "seed": 8},
        "a negative prompt": {**asked, "negative_prompt": "red, a square"},
        **guidance,
    }


def odd(steps: int | None) -> Input:
    """Return a size that is no multiple of 16, nor of 8."""
    return {"prompt": "A red square", "width": 1140, "height": 700, **_steps(steps)}


def invalid() -> Input:
    """Return a request whose width is documented as too large."""
    return {"prompt": "A red square", "width": 2000}


def long_one(model: ServedModel) -> Input:
    """Return the longest that is allowed, to be cancelled."""
    limits = model.parameters
    return {
        "prompt": "A red square",
        "width": limits.width.high,
        "height": limits.height.high,
        "num_inference_steps": limits.num_inference_steps.high,
    }


def total(model: ServedModel, price: Price) -> tuple[int, Decimal]:
    """Return how many pictures are made, and what their `cost` adds up to, in dollars."""
    defaults = model.parameters.defaults()
    twice = [plain(None)] * 2
    asked = [documented(None), *twice, *variations(model, None).values(), odd(None)]
    sizes = [
        (each.get("width", defaults["width"]), each.get("height", defaults["height"]))
        for each in asked
    ]
    return len(sizes), sum((pricing.cost(w, h, price) for w, h in sizes), Decimal(0))


def _steps(steps: int | None) -> Input:
    return {} if steps is None else {"num_inference_steps": steps}
