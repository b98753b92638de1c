"""What each task asks of its pipeline, beside the embedded prompts."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from diffusers import (
    DiffusionPipeline,
    FluxImg2ImgPipeline,
    FluxInpaintPipeline,
    FluxKontextPipeline,
    FluxPipeline,
)
from PIL import Image

from flux_worker.contract.catalog import Task
from flux_worker.contract.request import ImageRequest
from flux_worker.generation.inputs import Inputs
from flux_worker.pictures.fitting import Mask, Pixels, Sides

Arguments = dict[str, Any]


def text_to_image(request: ImageRequest, inputs: Inputs, sides: Sides) -> Arguments:
    """Return the arguments of `FluxPipeline`."""
    return {
        "width": sides[0],
        "height": sides[1],
        "num_inference_steps": request.num_inference_steps,
        "guidance_scale": request.guidance,
        "true_cfg_scale": request.true_cfg_scale,
        # Drawn on the CPU: a seed then means the same noise on every GPU.
        "generator": torch.Generator("cpu").manual_seed(request.seed),
    }


def image_to_image(request: ImageRequest, inputs: Inputs, sides: Sides) -> Arguments:
    """Return the arguments of `FluxImg2ImgPipeline`."""
    return text_to_image(request, inputs, sides) | {
        "image": _image(inputs.picture),
        # What is too little for a step makes one all the same.
        "strength": max(request.strength or 0, 1 / request.num_inference_steps),
    }


def inpainting(request: ImageRequest, inputs: Inputs, sides: Sides) -> Arguments:
    """Return the arguments of `FluxInpaintPipeline`."""
    # Whole latents: the pipeline looks at one pixel of each, and leaves what it so misses as it is.
    return image_to_image(request, inputs, sides) | {
        "mask_image": _image(inputs.latents_mask),
    }


def editing(request: ImageRequest, inputs: Inputs, sides: Sides) -> Arguments:
    """Return the arguments of `FluxKontextPipeline`."""
    return text_to_image(request, inputs, sides) | {
        "image": _image(inputs.picture),
        "max_area": sides[0] * sides[1],  # else it makes another size, of the usual area
        "_auto_resize": False,  # it has its size
    }


def _image(array: Pixels | Mask | None) -> Image.Image:
    return Image.fromarray(np.asarray(array))


@dataclass(frozen=True)
class Way:
    """How a task is done."""

    pipeline: type[DiffusionPipeline]
    arguments: Callable[[ImageRequest, Inputs, Sides], Arguments]
    """Of a request, what it refers to, and the width and height that are generated."""


WAYS: Mapping[Task, Way] = {
    "text-to-image": Way(FluxPipeline, text_to_image),
    "image-to-image": Way(FluxImg2ImgPipeline, image_to_image),
    "inpainting": Way(FluxInpaintPipeline, inpainting),
    "editing": Way(FluxKontextPipeline, editing),
}
