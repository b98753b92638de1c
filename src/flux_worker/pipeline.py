"""Loads FLUX onto the device, once, at cold start."""

import logging

import diffusers.utils.logging
import torch
import transformers.utils.logging
from diffusers import FluxPipeline

from flux_worker import weights
from flux_worker.errors import CannotStart
from flux_worker.settings import Settings

log = logging.getLogger(__name__)


def load(settings: Settings) -> FluxPipeline:
    """Load the served model's pipeline: bfloat16 on CUDA, float32 on a CPU, all of it resident.

    Raises:
        CannotStart: no CUDA device and `ALLOW_CPU` not set, or weights that can't be had or read.
    """
    device = _device(settings)
    folder = weights.find(settings)
    diffusers.utils.logging.disable_progress_bar()
    transformers.utils.logging.disable_progress_bar()
    try:
        pipe: FluxPipeline = FluxPipeline.from_pretrained(
            folder,
            # A CPU emulates bfloat16, slower than it computes in float32.
            dtype=torch.bfloat16 if device.type == "cuda" else torch.float32,
            use_safetensors=True,
            local_files_only=True,
        ).to(device)
    except torch.OutOfMemoryError:
        free, total = torch.cuda.mem_get_info()
        raise CannotStart(
            f"The weights don't fit into the GPU's memory ({free / 2**30:.1f} of "
            f"{total / 2**30:.1f} GiB are free): choose a GPU with more."
        ) from None
    except Exception as error:
        raise CannotStart(
            f"The weights in {folder} can't be loaded as a FLUX pipeline: "
            f"{type(error).__name__}: {error}"
        ) from error
    pipe.set_progress_bar_config(disable=True)
    _warn_of_another_model(pipe, settings)
    return pipe


def _device(settings: Settings) -> torch.device:
    if torch.cuda.is_available():
        return torch.device("cuda")
    if settings.allow_cpu:
        log.warning("There is no CUDA device, so images are generated on the CPU (ALLOW_CPU).")
        return torch.device("cpu")
    raise CannotStart(
        "There is no CUDA device. Start the worker on a GPU, or set ALLOW_CPU=1 to try it on a CPU."
    )


def _warn_of_another_model(pipe: FluxPipeline, settings: Settings) -> None:
    takes_guidance = bool(pipe.transformer.config.guidance_embeds)
    if takes_guidance != settings.model.guidance_embeds:
        log.warning(
            "FLUX_MODEL is %s, but the loaded weights %s guidance as that model's don't: check "
            "that FLUX_MODEL and MODEL_PATH belong together.",
            settings.model.name,
            "take" if takes_guidance else "ignore",
        )
