"""Downloads weights from the Hugging Face Hub."""

import glob
import logging
import time
from dataclasses import replace
from io import StringIO
from pathlib import Path
from typing import Any

from huggingface_hub import constants, snapshot_download
from tqdm import tqdm

from flux_worker.errors import CannotStart
from flux_worker.settings import Settings
from flux_worker.weights import fit, hub_errors
from flux_worker.weights.checkpoint import Checkpoint
from flux_worker.weights.layout import (
    INDEX,
    SMALL_FILES,
    WEIGHTS,
    Unusable,
    split,
    weight_files,
)

log = logging.getLogger(__name__)

SECONDS_BETWEEN_PROGRESS_LINES = 5.0


def download(wanted: str, settings: Settings, into: Path | None = None) -> Checkpoint:
    """Download the diffusers-format files of a Hub repository, in their default precision.

    Args:
        wanted: `owner/name`, or `owner/name@revision` with a branch, a tag or a commit.
        settings: gives the token, and the model that the weights are for.
        into: a plain folder to fill; by default the Hugging Face cache.

    Raises:
        CannotStart: the repository is gated, unknown, can't be reached, or holds something else.
    """
    log.info("Downloading the weights of %s from the Hugging Face Hub.", wanted)
    # First what tells whether the rest, tens of gigabytes, is of any use, and which files it is.
    folder = _fetch(wanted, SMALL_FILES, settings, into)
    try:
        if (folder / INDEX).is_file():
            fit.refuse_others(folder, wanted, settings.model)
            files = [file for component in WEIGHTS for file in weight_files(folder, component)]
            patterns = [glob.escape(str(file.relative_to(folder))) for file in files]
            folder = _fetch(wanted, [*SMALL_FILES, *patterns], settings, into)
        return replace(fit.require(folder, wanted, settings.model), road="download")
    except Unusable as fault:
        raise CannotStart(
            f"{wanted} isn't a FLUX model in diffusers' format with safetensors, as far as it was "
            f"downloaded to {folder}: {fault}. A checkpoint in a single file must be converted "
            "first, as docs/deployment.md shows; after damage delete that folder."
        ) from None


def _fetch(wanted: str, patterns: list[str], settings: Settings, into: Path | None) -> Path:
    repository, revision = split(wanted)
    token = settings.hf_token.get_secret_value() if settings.hf_token else None
    try:
        return Path(
            snapshot_download(
                repository,
                revision=revision,
                allow_patterns=patterns,
                token=token,
                local_dir=into,
                tqdm_class=LoggedProgress,
            )
        )
    except Exception as error:  # not its message: it can quote the token
        place = into or Path(constants.HF_HUB_CACHE)
        sentence = hub_errors.explain(error, wanted, place, has_token=token is not None)
        raise CannotStart(sentence) from None


class LoggedProgress(tqdm):  # type: ignore[misc]
    """A progress bar for a log that nobody sees as a terminal: a line now and then."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        kwargs.pop("name", None)  # huggingface_hub's own bars take it
        self._last_line = 0.0
        super().__init__(*args, **{**kwargs, "file": StringIO()})

    def display(self, *_: Any, **__: Any) -> bool:
        """Say it, where a line is due."""
        now = time.monotonic()
        finished = bool(self.total) and self.n >= self.total
        due = now - self._last_line >= SECONDS_BETWEEN_PROGRESS_LINES
        if self.unit == "B" and self.n and (due or finished):
            self._last_line = now
            log.info("Downloaded %.2f of %.2f GB.", self.n / 1e9, (self.total or self.n) / 1e9)
        return True
