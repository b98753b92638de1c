"""What is asked: first what the README documents, then small variations of one picture."""

import base64
import io
from decimal import Decimal
from functools import cache
from typing import Any

from PIL import Image

from flux_worker.contract import pricing, task_choice
from flux_worker.contract.catalog import Price, ServedModel
from flux_worker.contract.request import ImageRequest

Input = dict[str, Any]
SIDE = 512
"""Pixels of the varied picture: FLUX draws it, and it costs a quarter of the default one."""


def documented(model: ServedModel, steps: int | None) -> Input:
    """Return docs/deployment.md's request, or the one of Kontext's page."""
    if "text-to-image" in model.tasks:
        asked = {"prompt": "A serene mountain landscape at sunset", "guidance": 7.5}
    else:
        asked = {
            "prompt": "Exact same bluebird, same angle and posture, now perched on a cloud in "
            "outer space",
            "negative_prompt": "",
            "seed": -1,
            "guidance": 2,
            "size": "1024*1024",
            "output_format": "png",
            "enable_safety_checker": True,
        }
    return _begun(model, asked | _steps(steps))


def plain(model: ServedModel, steps: int | None) -> Input:
    """Return the request that is varied."""
    asked = {
        "prompt": "A red square on a white background",
        "width": SIDE,
        "height": SIDE,
        "seed": 7,
        "image_format": "png",
        **_steps(steps),
    }
    return _begun(model, asked)


def variations(model: ServedModel, steps: int | None) -> dict[str, Input]:
    """Return what changes that picture, by name."""
    asked = plain(model, steps)
    guidance = {"another guidance": {**asked, "guidance": 1.5}} if model.guidance_embeds else {}
    return {
        "another seed": {**asked, "seed": 8},
        "a negative prompt": {**asked, "negative_prompt": "red, a square"},
        **guidance,
    }


def odd(model: ServedModel, steps: int | None) -> Input:
    """Return a size that is no multiple of 16, nor of 8."""
    asked = {"prompt": "A red square", "width": 1140, "height": 700, **_steps(steps)}
    return _begun(model, asked)


def invalid(model: ServedModel) -> Input:
    """Return a request whose width is documented as too large."""
    return _begun(model, {"prompt": "A red square", "width": 2000})


def long_one(model: ServedModel) -> Input:
    """Return the longest that is allowed, to be cancelled."""
    limits = model.parameters
    asked = {
        "prompt": "A red square",
        "width": limits.width.high,
        "height": limits.height.high,
        "num_inference_steps": limits.num_inference_steps.high,
    }
    return _begun(model, asked)


def total(model: ServedModel, price: Price) -> tuple[int, Decimal]:
    """Return how many pictures are made, and what their `cost` adds up to, in dollars."""
    twice = [plain(model, None)] * 2
    varied = variations(model, None).values()
    asked = [documented(model, None), *twice, *varied, odd(model, None)]
    made = [ImageRequest.parse(each, model)[0] for each in asked]
    costs = (pricing.cost(each.width, each.height, price) for each in made)
    return len(made), sum(costs, Decimal(0))


def _steps(steps: int | None) -> Input:
    return {} if steps is None else {"num_inference_steps": steps}


def _begun(model: ServedModel, asked: Input) -> Input:
    """Add the picture that a model edits, where it can't do without one."""
    _, missing = task_choice.choose(asked, model)
    return asked | {"image": _picture()} if missing else asked


@cache
def _picture() -> str:
    """Return a red square on white, 256×256, as a `data:` URL of a few hundred bytes."""
    picture = Image.new("RGB", (256, 256), "white")
    picture.paste("red", (64, 64, 192, 192))
    file = io.BytesIO()
    picture.save(file, "PNG")
    return f"data:image/png;base64,{base64.b64encode(file.getvalue()).decode()}"
