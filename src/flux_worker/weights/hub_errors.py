"""Says in a sentence, chosen by the cause, why weights can't be had from the Hugging Face Hub."""

import errno
import os
from collections.abc import Iterator
from pathlib import Path

from huggingface_hub import constants
from huggingface_hub.errors import (
    DisabledRepoError,
    GatedRepoError,
    HfHubHTTPError,
    HFValidationError,
    LocalEntryNotFoundError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)

from flux_worker.weights.layout import split


def explain(error: Exception, wanted: str, place: Path, *, has_token: bool) -> str:
    """Say why a repository can't be had, and what to do about it.

    Args:
        error: what huggingface_hub raised. Its message isn't repeated: it can quote the token.
        wanted: `owner/name` or `owner/name@revision`.
        place: the folder that is written to.
        has_token: whether HF_TOKEN is set.
    """
    repository, revision = split(wanted)
    page = f"{constants.ENDPOINT}/{repository}"
    causes = list(_causes(error))
    status = next((e.response.status_code for e in causes if isinstance(e, HfHubHTTPError)), None)
    # Those of a connection have no file's name.
    disk = {e.errno for e in causes if isinstance(e, OSError) and e.filename}
    match error:
        case GatedRepoError():
            what = "its licence isn't accepted by the account of HF_TOKEN"
            return (
                f"{repository} is gated and {what if has_token else 'needs HF_TOKEN'}: accept the "
                f"licence on {page}, then set HF_TOKEN to a read token of that account."
            )
        case RepositoryNotFoundError() | HFValidationError():
            return (
                f"{wanted} is neither a folder here nor a repository that can be read on the "
                f"Hugging Face Hub ({page}): correct its name, or set HF_TOKEN if it is private."
            )
        case RevisionNotFoundError():
            return (
                f"{repository} has no revision {revision}: set MODEL_PATH to {repository}@ and a "
                f"branch, a tag or a commit of {page}/commits/main."
            )
    if any(isinstance(each, DisabledRepoError) for each in causes):
        return f"{repository} was disabled by the Hub ({page}): set MODEL_PATH to other weights."
    if status == 401:
        return (
            "The Hub doesn't accept the token that it was sent, which is invalid, expired or "
            f"revoked: set HF_TOKEN to a read token of {constants.ENDPOINT}/settings/tokens."
        )
    if status == 403 and has_token:
        return (
            f"HF_TOKEN may not read {repository}: give a fine-grained token read access to gated "
            f"repositories ({constants.ENDPOINT}/settings/tokens), or set a token of type read."
        )
    if status == 429:
        return (
            "The Hub has had too many requests from this address or token (429): start again in "
            "some minutes, set HF_TOKEN if there is none, or use a cached model."
        )
    if status is not None:
        return (
            f"The Hub answered {status} for {repository}: see whether {page} opens, then start "
            "again; a download goes on where it stopped."
        )
    if any(_is_full(each) for each in causes):
        return (
            f"The disk of {place} is full, and FLUX.1's weights need 34 GB there: give the "
            "container or the volume more, or choose a cached model."
        )
    if disk & {errno.EACCES, errno.EPERM, errno.EROFS}:
        return (
            f"The weights of {repository} can't be written to {place}: make it writable for the "
            "worker's user, or set HF_HOME to a folder that is."
        )
    if isinstance(error, LocalEntryNotFoundError):
        return (
            f"The weights of {wanted} are not on this machine and {constants.ENDPOINT} can't be "
            "reached: set MODEL_PATH to a folder with weights, or check the network and "
            "HF_HUB_OFFLINE."
        )
    return (
        f"The download of {wanted} failed ({type(error).__name__}): check the network, the disk's "
        "free space and HF_TOKEN, then start again; it goes on where it stopped."
    )


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    """Give an error and those that led to it."""
    while error:
        yield error
        error = error.__cause__ or error.__context__


def _is_full(error: BaseException) -> bool:
    # The part of huggingface_hub that is written in Rust has no errno, only the system's words.
    code = error.errno if isinstance(error, OSError) else None
    return code in (errno.ENOSPC, errno.EDQUOT) or os.strerror(errno.ENOSPC) in str(error)
