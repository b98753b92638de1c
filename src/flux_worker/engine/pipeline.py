"""Loads FLUX onto the device, once, at cold start."""

import logging
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import diffusers.utils.logging
import torch
import transformers.utils.logging
from diffusers import FluxPipeline

from flux_worker.engine import acceleration, planner
from flux_worker.engine.card import Card
from flux_worker.engine.memory import Workload
from flux_worker.engine.merging import Merger
from flux_worker.engine.plan import Plan
from flux_worker.engine.planner import Overrides
from flux_worker.errors import CannotStart
from flux_worker.settings import Settings
from flux_worker.telemetry.start import Start
from flux_worker.weights import loading, lookup, prefetch
from flux_worker.weights.checkpoint import Checkpoint, ParameterCounts
from flux_worker.weights.layout import Unusable

log = logging.getLogger(__name__)

DRIVER_VERSION = Path("/proc/driver/nvidia/version")
"""What the driver says of itself."""
LEAST_DRIVER = 580
"""Of CUDA 13: https://docs.nvidia.com/cuda/cuda-toolkit-release-notes."""


def load(settings: Settings, start: Start | None = None) -> FluxPipeline:
    """Load the served model's pipeline, to run as planned for the card.

    Its `loras` merges LoRAs into it. `start` times its stages.

    Raises:
        CannotStart: no CUDA device or too old a driver, and `ALLOW_CPU` not set; weights that can't
            be had or read, or settings that the card can't follow.
    """
    start = start or Start()
    diffusers.utils.logging.disable_progress_bar()
    transformers.utils.logging.disable_progress_bar()
    with start.stage("weights") as said:
        device = _device(settings)
        checkpoint = lookup.find(settings)
        with _in_words(f"The weights in {checkpoint.folder} can't be loaded as a FLUX pipeline"):
            workload = Workload.of(settings.model)
            plan = plan_for(device, checkpoint.count(), workload, Overrides.of(settings))
            # What is quantized or streamed goes to the device block by block, later.
            parts = (plan.transformer, plan.text_encoder, plan.modulation)
            at_once = not plan.is_quantized and set(parts) == {"resident"}
            pipe = loading.load(
                checkpoint,
                device if at_once else torch.device("cpu"),
                torch.float32 if device.type == "cpu" else torch.bfloat16,
            )
        said |= {"road": checkpoint.road, "gigabytes": _gigabytes(checkpoint)}
    with _in_words(f"The weights were read, but can't be made to run as planned ({plan})"):
        acceleration.apply(pipe, plan, device, settings.compile_cache_dir, start)
    pipe.loras = Merger(pipe, checkpoint, plan, device)
    pipe.set_progress_bar_config(disable=True)
    _warn_of_another_model(pipe, settings)
    return pipe


def plan_for(
    device: torch.device, counts: ParameterCounts, workload: Workload, overrides: Overrides
) -> Plan:
    """Plan for the device at hand, a CUDA device or a CPU.

    Raises:
        CannotStart: as the planner does.
    """
    host = prefetch.memory()
    if device.type == "cpu":
        return planner.for_cpu(overrides, host)
    return planner.choose(Card.of(device), host, counts, workload, overrides)


@contextmanager
def _in_words(failure: str) -> Iterator[None]:
    """Turn whatever goes wrong in the block into a sentence that begins like this."""
    try:
        yield
    except CannotStart:
        raise
    except Unusable as fault:
        raise CannotStart(f"{failure}: {fault}.") from None
    except torch.OutOfMemoryError:
        free, total = torch.cuda.mem_get_info()
        raise CannotStart(
            f"The weights don't fit into the GPU's memory ({free / 2**30:.1f} of "
            f"{total / 2**30:.1f} GiB are free): choose a GPU with more."
        ) from None
    except Exception as error:
        raise CannotStart(f"{failure}: {type(error).__name__}: {error}") from error


def _gigabytes(checkpoint: Checkpoint) -> float:
    tensors = (tensor for stored in checkpoint.tensors.values() for tensor in stored)
    return round(sum(tensor.end - tensor.begin for tensor in tensors) / 1e9, 4)


def _device(settings: Settings) -> torch.device:
    try:
        torch.cuda.init()  # type: ignore[no-untyped-call]
        return torch.device("cuda")
    except Exception as error:
        reason = _no_device(str(error))
    if settings.allow_cpu:
        log.warning("%s Images are generated on the CPU (ALLOW_CPU).", reason)
        return torch.device("cpu")
    raise CannotStart(f"{reason} ALLOW_CPU=1 tries the worker on a CPU.")


def _no_device(said: str) -> str:
    """Why CUDA can't be used, by what the driver says of itself, and torch of the driver."""
    installed, supported = _driver(), re.search(r"found version (\d+)(\d\d)0\b", said)
    if supported or (installed and int(installed.split(".")[0]) < LEAST_DRIVER):
        names = [installed] if installed else []
        names += [f"for CUDA {int(supported[1])}.{int(supported[2])}"] if supported else []
        return (
            f"The host's NVIDIA driver, {', '.join(names)}, is too old for CUDA 13, which needs "
            f"{LEAST_DRIVER} or newer: on Runpod set allowedCudaVersions to 13.0 and newer, "
            "elsewhere update the driver."
        )
    if installed and torch.version.cuda:
        return (
            f"The host has an NVIDIA driver, {installed}, but CUDA can't be used "
            f"({said.split('.')[0]}): give the container the GPU (docker run --gpus all), or start "
            "the worker on another host."
        )
    return "There is no CUDA device. Start the worker on a GPU."


def _driver() -> str | None:
    """Return the version of the NVIDIA driver, such as 580.65.06, or None without one."""
    try:
        found = re.search(r"Kernel Module.*? (\d+\.[\d.]+)", DRIVER_VERSION.read_text())
    except (OSError, ValueError):
        return None
    return found[1] if found else None


def _warn_of_another_model(pipe: FluxPipeline, settings: Settings) -> None:
    takes_guidance = bool(pipe.transformer.config.guidance_embeds)
    if takes_guidance != settings.model.guidance_embeds:
        log.warning(
            "FLUX_MODEL is %s, but the loaded weights %s guidance as that model's don't: check "
            "that FLUX_MODEL and MODEL_PATH belong together.",
            settings.model.name,
            "take" if takes_guidance else "ignore",
        )
