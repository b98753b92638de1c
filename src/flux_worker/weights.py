"""Finds the weights: a folder in diffusers' layout, downloaded only where none is at hand.

In this order: `MODEL_PATH` when it is a folder; weights baked into the image; Runpod's cached
models (https://docs.runpod.io/serverless/endpoints/model-caching); the Hugging Face cache; a
download. A folder that lacks files is passed over.
"""

import json
import logging
import time
from collections.abc import Iterator
from io import StringIO
from pathlib import Path
from typing import Any

from huggingface_hub import constants, snapshot_download
from huggingface_hub.errors import (
    GatedRepoError,
    HFValidationError,
    LocalEntryNotFoundError,
    RepositoryNotFoundError,
)
from tqdm import tqdm

from flux_worker.errors import CannotStart
from flux_worker.settings import Settings

log = logging.getLogger(__name__)

BAKED_WEIGHTS = Path("/opt/flux-worker/weights")
"""Holds `{owner}/{name}` folders, written while the image is built."""
RUNPOD_CACHE = Path("/runpod-volume/huggingface-cache/hub")

COMPONENTS = ("transformer", "text_encoder", "text_encoder_2", "vae")
TOKENIZERS = {
    "tokenizer": ("tokenizer.json", "vocab.json"),
    "tokenizer_2": ("tokenizer.json", "spiece.model"),
}
"""Either file holds the vocabulary; without one, transformers makes up an empty tokenizer."""
FILES = [
    "model_index.json",
    "scheduler/*",
    "tokenizer/*",
    "tokenizer_2/*",
    *(f"{component}/*.{kind}" for component in COMPONENTS for kind in ("json", "safetensors")),
]
"""FLUX's repositories hold the transformer and the VAE a second time, in single files of 24 GB."""

SECONDS_BETWEEN_PROGRESS_LINES = 5.0


def find(settings: Settings, baked: Path = BAKED_WEIGHTS, cached: Path = RUNPOD_CACHE) -> Path:
    """Return a folder with complete weights, after downloading them if need be.

    Raises:
        CannotStart: there are none; the sentence says what to set or which page to visit.
    """
    wanted = settings.model_path or settings.model.repository
    for place, found in _at_hand(settings, baked, cached):
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


def missing(folder: Path) -> str | None:
    """Name the first file that a folder lacks to be FLUX in diffusers' format, or None."""
    for name in ("model_index.json", "scheduler/scheduler_config.json"):
        if not (folder / name).is_file():
            return name
    for tokenizer, vocabularies in TOKENIZERS.items():
        if not any((folder / tokenizer / name).is_file() for name in vocabularies):
            return f"{tokenizer}/{vocabularies[0]}"
    for component in COMPONENTS:
        if not (folder / component / "config.json").is_file():
            return f"{component}/config.json"
        if lacking := _missing_weights(folder / component):
            return f"{component}/{lacking}"
    return None


def _missing_weights(component: Path) -> str | None:
    shards: set[str] = set()
    for index in sorted(component.glob("*.safetensors.index.json")):
        try:
            shards.update(json.loads(index.read_text())["weight_map"].values())
        except (OSError, ValueError, TypeError, KeyError, AttributeError):
            return index.name
    present = {file.name for file in component.glob("*.safetensors") if file.stat().st_size}
    if lacking := sorted(shards - present):
        return lacking[0]
    return None if present else "*.safetensors"


def download(repository: str, settings: Settings, into: Path | None = None) -> Path:
    """Download the diffusers-format files of a Hub repository.

    Args:
        repository: `owner/name`.
        settings: gives the token.
        into: a plain folder to fill; by default the Hugging Face cache.

    Raises:
        CannotStart: the repository is gated, unknown or can't be reached.
    """
    log.info("Downloading the weights of %s from the Hugging Face Hub.", repository)
    page = f"{constants.ENDPOINT}/{repository}"
    token = settings.hf_token.get_secret_value() if settings.hf_token else None
    try:
        folder = Path(
            snapshot_download(
                repository,
                allow_patterns=FILES,
                token=token,
                local_dir=into,
                tqdm_class=_LoggedProgress,
            )
        )
    except GatedRepoError:
        what = (
            "its licence isn't accepted by the account of HF_TOKEN" if token else "needs HF_TOKEN"
        )
        raise CannotStart(
            f"{repository} is gated and {what}: accept the licence on {page}, then set HF_TOKEN to "
            "a read token of that account."
        ) from None
    except (RepositoryNotFoundError, HFValidationError):
        raise CannotStart(
            f"{repository} is neither a folder here nor a repository that can be read on the "
            f"Hugging Face Hub ({page}): correct its name, or set HF_TOKEN if it is private."
        ) from None
    except LocalEntryNotFoundError:
        raise CannotStart(
            f"The weights of {repository} are not on this machine and {constants.ENDPOINT} can't "
            "be reached: set MODEL_PATH to a folder with weights, or check the network and "
            "HF_HUB_OFFLINE."
        ) from None
    except Exception as error:  # not its message: it can quote the token
        raise CannotStart(
            f"The download of {repository} failed ({type(error).__name__}): check the network, the "
            "disk's free space and HF_TOKEN, then start again; it goes on where it stopped."
        ) from None
    if lacking := missing(folder):
        raise CannotStart(
            f"{repository} isn't a FLUX model in diffusers' format with safetensors: it has no "
            f"{lacking}."
        )
    return folder


class _LoggedProgress(tqdm):  # type: ignore[misc]
    """A progress bar for a log that nobody sees as a terminal: a line now and then."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        kwargs.pop("name", None)  # huggingface_hub's own bars take it
        self._last_line = 0.0
        super().__init__(*args, **{**kwargs, "file": StringIO()})

    def display(self, *_: Any, **__: Any) -> bool:
        now = time.monotonic()
        finished = bool(self.total) and self.n >= self.total
        due = now - self._last_line >= SECONDS_BETWEEN_PROGRESS_LINES
        if self.unit == "B" and self.n and (due or finished):
            self._last_line = now
            log.info("Downloaded %.2f of %.2f GB.", self.n / 1e9, (self.total or self.n) / 1e9)
        return True
