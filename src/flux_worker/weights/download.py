"""Downloads weights from the Hugging Face Hub, and says in a sentence why they can't be had."""

import logging
import time
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
from flux_worker.weights.checkpoint import INDEX
from flux_worker.weights.layout import FILES, missing, require_class

log = logging.getLogger(__name__)

SECONDS_BETWEEN_PROGRESS_LINES = 5.0


def download(repository: str, settings: Settings, into: Path | None = None) -> Path:
    """Download the diffusers-format files of a Hub repository.

    Args:
        repository: `owner/name`.
        settings: gives the token, and the model that the weights are for.
        into: a plain folder to fill; by default the Hugging Face cache.

    Raises:
        CannotStart: the repository is gated, unknown, can't be reached, or holds something else.
    """
    log.info("Downloading the weights of %s from the Hugging Face Hub.", repository)
    # First what tells whether the rest, tens of gigabytes, is of any use.
    folder = _fetch(repository, [INDEX], settings, into)
    if (folder / INDEX).is_file():
        require_class(folder, repository, settings.model)
        folder = _fetch(repository, FILES, settings, into)
    if lacking := missing(folder):
        raise CannotStart(
            f"{repository} isn't a FLUX model in diffusers' format with safetensors: it has no "
            f"{lacking}."
        )
    return folder


def _fetch(repository: str, patterns: list[str], settings: Settings, into: Path | None) -> Path:
    page = f"{constants.ENDPOINT}/{repository}"
    token = settings.hf_token.get_secret_value() if settings.hf_token else None
    try:
        return Path(
            snapshot_download(
                repository,
                allow_patterns=patterns,
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
