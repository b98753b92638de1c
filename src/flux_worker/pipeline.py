"""Loads FLUX onto the device, once, at cold start."""

import importlib.util
import logging
import os
import shutil

import diffusers.utils.logging
import torch
import transformers.utils.logging
from diffusers import FluxPipeline

from flux_worker import acceleration, headers, loading, plan, weights
from flux_worker.errors import CannotStart
from flux_worker.plan import Attention, Card
from flux_worker.settings import Settings

log = logging.getLogger(__name__)


def load(settings: Settings) -> FluxPipeline:
    """Load the served model's pipeline, to run as planned for the card.

    Raises:
        CannotStart: no CUDA device and `ALLOW_CPU` not set, weights that can't be had or read, or
            settings that the card can't follow.
    """
    device = _device(settings)
    folder = weights.find(settings)
    how = plan.for_cpu(settings)
    if device.type == "cuda":
        how = plan.choose(card(device), headers.count(folder), settings)
    log.info("The plan: %s.", how)
    diffusers.utils.logging.disable_progress_bar()
    transformers.utils.logging.disable_progress_bar()
    try:
        # What is quantized or streamed goes to the device layer by layer, later.
        at_once = how.precision != "fp8" and how.transformer == how.text_encoder == "resident"
        pipe = loading.load(
            folder,
            device if at_once else torch.device("cpu"),
            torch.float32 if device.type == "cpu" else torch.bfloat16,
        )
        acceleration.apply(pipe, how, device, settings.compile_cache_dir)
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


def card(device: torch.device) -> Card:
    """Describe a CUDA device and what is installed for it."""
    properties = torch.cuda.get_device_properties(device)
    free, _ = torch.cuda.mem_get_info(device)
    packages: dict[Attention, str] = {
        "flash3": "flash_attn_interface",
        "flash4": "flash_attn.cute.interface",
    }
    return Card(
        name=properties.name,
        capability=(properties.major, properties.minor),
        memory=free,
        flash=frozenset(name for name, package in packages.items() if _is_installed(package)),
        compiler=shutil.which(os.environ.get("CC", "cc")) is not None,
    )


def _is_installed(package: str) -> bool:
    try:
        return importlib.util.find_spec(package) is not None
    except ModuleNotFoundError:
        return False


def _warn_of_another_model(pipe: FluxPipeline, settings: Settings) -> None:
    takes_guidance = bool(pipe.transformer.config.guidance_embeds)
    if takes_guidance != settings.model.guidance_embeds:
        log.warning(
            "FLUX_MODEL is %s, but the loaded weights %s guidance as that model's don't: check "
            "that FLUX_MODEL and MODEL_PATH belong together.",
            settings.model.name,
            "take" if takes_guidance else "ignore",
        )
