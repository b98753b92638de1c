"""Downloads weights from the Hugging Face Hub, once for all workers that share the cache."""

import logging
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from huggingface_hub import constants, hf_hub_url

from flux_worker.contract.catalog import ServedModel
from flux_worker.errors import CannotStart
from flux_worker.weights import completion, fit, hub_cache, hub_errors, kind, lease
from flux_worker.weights.checkpoint import Checkpoint
from flux_worker.weights.layout import INDEX, SMALL_FILES, Unusable, split, weight_names
from flux_worker.weights.remote import Remote

log = logging.getLogger(__name__)


def download(
    wanted: str,
    token: str | None,
    model: ServedModel,
    look_again: Callable[[], Checkpoint | None] = lambda: None,
) -> Checkpoint:
    """Download the diffusers-format files of a Hub repository, in their default precision.

    Args:
        wanted: `owner/name`, or `owner/name@revision` with a branch, a tag or a commit.
        token: of the Hub.
        model: which the weights are for.
        look_again: finds them on this machine, where another worker has brought them meanwhile.

    Raises:
        CannotStart: the repository is gated, unknown, can't be reached, or holds something else;
            or the disk is too small or can't be written to.
    """
    repository, _ = split(wanted)
    cache = Path(constants.HF_HUB_CACHE)
    with hub_errors.explained(wanted, cache, token):
        hf_hub_url(repository, INDEX)  # fails for what can't be a repository
        name = hub_cache.folder_name(repository).lower()
        work = f"downloads {repository} to {cache}"
        while True:
            with lease.held(cache / ".locks" / name / "flux-worker", work) as mine:
                if mine.waited:
                    if found := look_again():
                        return found
                    hub_cache.break_locks(cache, repository)
                try:
                    return _download(wanted, token, model)
                except Exception:
                    if not mine.is_lost():
                        raise
            log.info("This worker stood still, so that another one went on with the download.")


def _download(wanted: str, token: str | None, model: ServedModel) -> Checkpoint:
    log.info("Downloading the weights of %s from the Hugging Face Hub.", wanted)
    repository, revision = split(wanted)
    remote = Remote(repository, token)
    # First what tells whether the rest, tens of gigabytes, is of any use, and which files it is.
    folder = remote.fetch(revision, SMALL_FILES)
    try:
        if (folder / INDEX).is_file():
            kind.refuse_others(folder, wanted, model)
            listed = remote.listing(folder.name)
            # What the repository lacks is named below.
            files = [listed[name] for name in weight_names(folder) if name in listed]
            completion.complete(remote, folder, files, hub_errors.AT_RUN_TIME, is_plain=False)
        return replace(fit.require(folder, wanted, model), road="download")
    except Unusable as fault:
        raise CannotStart(
            f"{wanted} isn't a FLUX model in diffusers' format with safetensors, as far as it was "
            f"downloaded to {folder}: {fault}. A checkpoint in a single file must be converted "
            "first, as docs/deployment.md shows; after damage delete that folder."
        ) from None
