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

from flux_worker.errors import CannotStart
from flux_worker.settings import Settings
from flux_worker.weights import fit
from flux_worker.weights.checkpoint import Checkpoint
from flux_worker.weights.download import download
from flux_worker.weights.layout import Unusable, split

log = logging.getLogger(__name__)

BAKED_WEIGHTS = Path("/opt/flux-worker/weights")
"""Holds `{owner}/{name}` folders, written while the image is built."""
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
    return download(wanted, settings)


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
    if in_image := _existing(baked / wanted):
        yield "image", in_image
    for road, cache in (
        ("Runpod's model cache", cached),
        ("Hugging Face cache", Path(constants.HF_HUB_CACHE)),
    ):
        for snapshot in _snapshots(cache, *split(wanted)):
            if found := _existing(snapshot):
                yield road, found


def _snapshots(cache: Path, repository: str, revision: str | None) -> Iterator[Path]:
    """Name a repository's snapshots in a cache in the Hub's layout, the best first."""
    name = f"models--{repository.replace('/', '--')}"
    # The Hub takes a name in any case, and caches keep it as it was asked for: Runpod's in lower.
    like = [each for each in _listed(cache) if each.name.lower() == name.lower()]
    for folder in sorted(like, key=lambda each: each.name != name):
        snapshots = folder / "snapshots"
        if commit := _content(folder / "refs" / (revision or "main")):
            yield snapshots / commit
        elif revision:  # it may be a commit itself
            yield snapshots / revision.lower()
        else:  # what was fetched at a revision leaves no `main`
            yield from _listed(snapshots)


def _content(file: Path) -> str:
    try:
        return file.read_text().strip()
    except (OSError, ValueError):
        return ""


def _listed(folder: Path) -> list[Path]:
    """List a folder, the newest first, or nothing where that can't be done."""
    try:
        return sorted(folder.iterdir(), key=lambda each: each.lstat().st_mtime, reverse=True)
    except OSError:
        return []


def _existing(path: Path) -> Path | None:
    try:
        return path.expanduser().resolve(strict=True)
    except PermissionError:
        return path.expanduser()  # it is for whoever reads it to say so
    except (OSError, RuntimeError, ValueError):  # what can't be a path, a user who doesn't exist
        return None
