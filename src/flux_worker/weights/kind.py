"""Which pipeline's weights a folder holds, as far as its small files tell."""

from pathlib import Path

from flux_worker.contract.catalog import DEV, KONTEXT, SCHNELL, ServedModel
from flux_worker.errors import CannotStart
from flux_worker.weights import layout
from flux_worker.weights.layout import WEIGHTS

PACKED = 4
"""Latents enter the transformer in squares of 2×2, so it takes four times the VAE's channels."""


def refuse_others(folder: Path, wanted: str, model: ServedModel) -> None:
    """Refuse what the small files, as far as they are there, tell to be other weights.

    Args:
        folder: in diffusers' layout.
        wanted: what the sentences call it.
        model: the served one.

    Raises:
        CannotStart: they are another pipeline's, or quantized.
    """
    found = layout.pipeline_class(folder)
    needed = model.pipeline_classes
    if found not in (None, *needed):
        raise CannotStart(
            f"{wanted} holds weights for {found}, and {model.title} needs those for {needed[0]}: "
            "set FLUX_MODEL and MODEL_PATH so that they belong together."
        )
    for component in WEIGHTS:
        if layout.configured(folder, component, "quantization_config") is not None:
            raise quantized(wanted, f"{component}/config.json has a quantization_config")
    channels = layout.configured(folder, "transformer", "in_channels")
    latent = layout.configured(folder, "vae", "latent_channels")
    if isinstance(channels, int) and isinstance(latent, int) and channels != PACKED * latent:
        raise CannotStart(
            f"The transformer of {wanted} takes {channels} channels, and {model.title}'s takes "
            f"{PACKED * latent}: more are those of FLUX.1-Fill, Canny and Depth, which aren't "
            "served. Set MODEL_PATH to weights of another model."
        )


def quantized(wanted: str, how: str) -> CannotStart:
    """Say that weights are quantized, and what to set instead."""
    return CannotStart(
        f"{wanted} is quantized ({how}), and only full weights are read: set MODEL_PATH to those "
        "that it was made from, and PRECISION=fp8 for half the memory."
    )


def likely(folder: Path) -> ServedModel:
    """Return the model whose contract a fine-tune's weights are most likely made for."""
    if layout.pipeline_class(folder) in KONTEXT.pipeline_classes:
        return KONTEXT
    takes_guidance = layout.configured(folder, "transformer", "guidance_embeds") is True
    return DEV if takes_guidance else SCHNELL
