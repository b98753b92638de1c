"""Finds the weights: a folder in diffusers' layout, downloaded only where none is at hand.

In this order: `MODEL_PATH` when it is a folder; weights baked into the image; Runpod's cached
models (https://docs.runpod.io/serverless/endpoints/model-caching); the Hugging Face cache; a
download. A folder with missing or damaged files is passed over.
"""

import logging
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from huggingface_hub import constants

from flux_worker.baked import BAKED_WEIGHTS
from flux_worker.errors import CannotStart
from flux_worker.settings import Settings
from flux_worker.weights import fit, hub_cache
from flux_worker.weights.checkpoint import Checkpoint
from flux_worker.weights.download import download
from flux_worker.weights.layout import Unusable, split

log = logging.getLogger(__name__)

RUNPOD_CACHE = Path("/runpod-volume/huggingface-cache/hub")


def find(
    settings: Settings, baked: Path = BAKED_WEIGHTS, cached: Path = RUNPOD_CACHE
) -> Checkpoint:
    """Return complete weights, after downloading them if need be.

    Raises:
        CannotStart: there are none, or they are of another pipeline than the served model's; the
            sentence says what to set or which page to visit.
    """
    wanted = settings.model_path or settings.model.repository
    token = settings.hf_token.get_secret_value() if settings.hf_token else None

    def look() -> Checkpoint | None:
        return _usable(settings, wanted, baked, cached)

    return look() or download(wanted, token, settings.model, look)


def _usable(settings: Settings, wanted: str, baked: Path, cached: Path) -> Checkpoint | None:
    for road, found in _at_hand(settings, baked, cached):
        try:
            checkpoint = fit.require(found, wanted, settings.model)
        except Unusable as fault:
            if road == "MODEL_PATH":
                raise CannotStart(f"MODEL_PATH {wanted} can't be loaded: {fault}.") from None
            log.warning("%s (%s) is passed over: %s.", found, road, fault)
        else:
            log.info("Weights of %s found (%s): %s.", wanted, road, found)
            return replace(checkpoint, road=road)
    return None


def nearest(settings: Settings) -> Path | None:
    """Return the folder on this machine that `find` looks into first, if there is any."""
    return next((folder for _, folder in _at_hand(settings)), None)


def _at_hand(
    settings: Settings, baked: Path = BAKED_WEIGHTS, cached: Path = RUNPOD_CACHE
) -> Iterator[tuple[str, Path]]:
    wanted = settings.model_path or settings.model.repository
    if settings.model_path and (given := _existing(Path(wanted))):
        yield "MODEL_PATH", given
        return
    for road, cache in (
        ("image", baked),
        ("Runpod's model cache", cached),
        ("Hugging Face cache", Path(constants.HF_HUB_CACHE)),
    ):
        for snapshot in hub_cache.snapshots(cache, *split(wanted)):
            if found := _existing(snapshot):
                yield road, found


def _existing(path: Path) -> Path | None:
    try:
        return path.expanduser().resolve(strict=True)
    except PermissionError:
        return path.expanduser()  # it is for whoever reads it to say so
    except (OSError, RuntimeError, ValueError):  # what can't be a path, a user who doesn't exist
        return None
