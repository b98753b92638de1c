"""Finds the weights: a folder in diffusers' layout, downloaded only where none is at hand.

In this order: `MODEL_PATH` when it is a folder; weights baked into the image; Runpod's cached
models (https://docs.runpod.io/serverless/endpoints/model-caching); the Hugging Face cache; a
download. A folder that lacks files is passed over.
"""

import logging
from collections.abc import Iterator
from pathlib import Path

from huggingface_hub import constants

from flux_worker.errors import CannotStart
from flux_worker.settings import Settings
from flux_worker.weights.download import download
from flux_worker.weights.layout import missing, require_class

log = logging.getLogger(__name__)

BAKED_WEIGHTS = Path("/opt/flux-worker/weights")
"""Holds `{owner}/{name}` folders, written while the image is built."""
RUNPOD_CACHE = Path("/runpod-volume/huggingface-cache/hub")


def find(settings: Settings, baked: Path = BAKED_WEIGHTS, cached: Path = RUNPOD_CACHE) -> Path:
    """Return a folder with complete weights, after downloading them if need be.

    Raises:
        CannotStart: there are none, or they are of another pipeline than the served model's; the
            sentence says what to set or which page to visit.
    """
    wanted = settings.model_path or settings.model.repository
    for place, found in _at_hand(settings, baked, cached):
        require_class(found, wanted, settings.model)
        lacking = missing(found)
        if not lacking:
            log.info("Weights of %s found in %s.", wanted, place)
            return found
        if place == "MODEL_PATH":
            raise CannotStart(f"MODEL_PATH {wanted} is incomplete: {lacking} is missing there.")
        log.warning("The weights of %s in %s lack %s: passed over.", wanted, place, lacking)
    return download(wanted, settings)


def nearest(settings: Settings) -> Path | None:
    """Return the folder on this machine that `find` looks into first, if there is any."""
    return next((folder for _, folder in _at_hand(settings)), None)


def _at_hand(
    settings: Settings, baked: Path = BAKED_WEIGHTS, cached: Path = RUNPOD_CACHE
) -> Iterator[tuple[str, Path]]:
    if settings.model_path and (folder := _folder(settings.model_path)):
        yield "MODEL_PATH", folder
        return
    repository = settings.model_path or settings.model.repository
    if in_image := _folder(str(baked / repository)):
        yield "the image", in_image
    for place, cache in (
        ("Runpod's model cache", cached),
        ("the Hugging Face cache", Path(constants.HF_HUB_CACHE)),
    ):
        hub_folder = cache / f"models--{repository.replace('/', '--')}"
        try:
            revision = (hub_folder / "refs" / "main").read_text().strip()
        except (OSError, ValueError):
            continue
        if snapshot := _folder(str(hub_folder / "snapshots" / revision)):
            yield place, snapshot


def _folder(path: str) -> Path | None:
    try:
        folder = Path(path).expanduser()
        return folder.resolve() if folder.is_dir() else None
    except (OSError, RuntimeError):  # a name too long for a path, a user who doesn't exist
        return None
