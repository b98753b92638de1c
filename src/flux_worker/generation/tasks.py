"""What each task asks of its pipeline, beside the embedded prompts."""

from collections.abc import Callable, Mapping
from typing import Any

import torch

from flux_worker.contract.catalog import Task
from flux_worker.contract.request import ImageRequest
from flux_worker.generation.inputs import Inputs

Arguments = dict[str, Any]


def text_to_image(request: ImageRequest, inputs: Inputs) -> Arguments:
    """Return the arguments of `FluxPipeline`, but for the size, which is the generator's affair."""
    return {
        "num_inference_steps": request.num_inference_steps,
        "guidance_scale": request.guidance,
        "true_cfg_scale": request.true_cfg_scale,
        # Drawn on the CPU: a seed then means the same noise on every GPU.
        "generator": torch.Generator("cpu").manual_seed(request.seed),
    }


TASKS: Mapping[Task, Callable[[ImageRequest, Inputs], Arguments]] = {
    "text-to-image": text_to_image,
}
