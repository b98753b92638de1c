"""Says in a sentence, chosen by the cause, why weights can't be had from the Hugging Face Hub."""

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import httpx2
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

from flux_worker.errors import CannotStart
from flux_worker.weights.layout import split

FULL = (errno.ENOSPC, errno.EDQUOT)
HUB = "huggingface.co"
NO_NETWORK = (
    ConnectionError,
    LocalEntryNotFoundError,
    httpx2.NetworkError,
    httpx2.TimeoutException,
)
"""The library's own words for a Hub that doesn't answer, and those of what it asks it with."""


@dataclass(frozen=True)
class Advice:
    """What can be done about it, in clauses: at run time it is another thing than at the build."""

    holder: str
    """What holds the token."""
    lacks: str
    """What a gated repository lacks."""
    give: str
    """Ends where the sentence goes on with the token."""
    other_weights: str
    other_revision: str
    """Ends where the sentence goes on with the revision."""
    more_room: str
    writable: str
    no_network: str


AT_RUN_TIME = Advice(
    holder="HF_TOKEN",
    lacks="needs HF_TOKEN",
    give="set HF_TOKEN to",
    other_weights="set MODEL_PATH to other weights",
    other_revision="set MODEL_PATH to {repository}@ and",
    more_room=(
        "give the endpoint's container disk as many GB more, set HF_HOME to a folder on a network "
        "volume that has them, or choose a cached model"
    ),
    writable=(
        "make it writable for the worker's user, set HF_HOME to a folder that is, such as one on "
        "a network volume, or mount a volume there"
    ),
    no_network=("set MODEL_PATH to a folder with weights, or check the network and HF_HUB_OFFLINE"),
)


@contextmanager
def explained(
    wanted: str, place: Path, token: str | None, advice: Advice = AT_RUN_TIME
) -> Iterator[None]:
    """Turn whatever goes wrong in the block into a sentence.

    Raises:
        CannotStart: something did.
    """
    try:
        yield
    except CannotStart:
        raise
    except Exception as error:  # not its message: it can quote the token
        has_token = bool(token)
        raise CannotStart(explain(error, wanted, place, advice, has_token=has_token)) from None


def explain(
    error: Exception, wanted: str, place: Path, advice: Advice = AT_RUN_TIME, *, has_token: bool
) -> str:
    """Say why a repository can't be had, and what to do about it.

    Args:
        error: what huggingface_hub raised. Its message isn't repeated: it can quote the token.
        wanted: `owner/name` or `owner/name@revision`.
        place: the folder that is written to.
        advice: what can be done.
        has_token: whether a token was sent.
    """
    repository, revision = split(wanted)
    hub = _hub()
    page = f"{hub}/{repository}"
    causes = list(_causes(error))
    status = next((e.response.status_code for e in causes if isinstance(e, HfHubHTTPError)), None)
    # Those of a connection have no file's name.
    disk = next((e for e in causes if isinstance(e, OSError) and e.filename), None)
    match error:
        case httpx2.UnsupportedProtocol() | httpx2.InvalidURL():
            return f"HF_ENDPOINT must be a URL, such as https://{HUB}, which it is by default."
        case UnicodeEncodeError() | httpx2.LocalProtocolError() if has_token:
            return (
                f"{advice.holder} holds something that can't be a token, such as a letter with an "
                f"accent or a second line: {advice.give} a read token of {hub}/settings/tokens."
            )
        case GatedRepoError():
            what = f"its licence isn't accepted by the account of {advice.holder}"
            return (
                f"{repository} is gated and {what if has_token else advice.lacks}: accept the "
                f"licence on {page}, then {advice.give} a read token of that account."
            )
        case RepositoryNotFoundError() | HFValidationError():
            return (
                f"{wanted} is neither a folder here nor a repository that can be read on the "
                f"Hugging Face Hub ({page}): correct its name, or if it is private "
                f"{advice.give} a read token."
            )
        case RevisionNotFoundError():
            return (
                f"{repository} has no revision {revision}: "
                f"{advice.other_revision.format(repository=repository)} a branch, a tag or a "
                f"commit of {page}/commits/main."
            )
    if any(isinstance(each, DisabledRepoError) for each in causes):
        return f"{repository} was disabled by the Hub ({page}): {advice.other_weights}."
    if status == 401:
        return (
            "The Hub doesn't accept the token that it was sent, which is invalid, expired or "
            f"revoked: {advice.give} a read token of {hub}/settings/tokens."
        )
    if status == 403 and has_token:
        return (
            f"{advice.holder} may not read {repository}: give a fine-grained token read access to "
            f"gated repositories ({hub}/settings/tokens), or one of type read."
        )
    if status == 429:
        return (
            "The Hub has had too many requests from this address or token (429): start again in "
            f"some minutes, and if there was no token {advice.give} a read token."
        )
    if status is not None:
        return (
            f"The Hub answered {status} for {repository}: see whether {page} opens, then start "
            "again; files that have come whole are kept."
        )
    if any(_is_full(each) for each in causes):
        return (
            f"The disk of {place} is full, or its quota used up, and FLUX.1's weights need 34 GB "
            f"there: {advice.more_room}."
        )
    if disk:
        return (
            f"The weights of {repository} can't be written to {place} ({disk.strerror}): "
            f"{advice.writable}."
        )
    if any(isinstance(each, NO_NETWORK) for each in causes):
        return (
            f"The weights of {wanted} are not on this machine and {hub} can't be "
            f"reached: {advice.no_network}."
        )
    return (
        f"The download of {wanted} failed ({type(error).__name__}): check the network, the disk's "
        f"free space and {advice.holder}, then start again; files that have come whole are kept."
    )


def _hub() -> str:
    """Return the Hub's address, or its mirror's, without the password that it may hold."""
    account, _, _ = urlsplit(constants.ENDPOINT).netloc.rpartition("@")
    return constants.ENDPOINT.replace(f"{account}@", "", 1) if account else constants.ENDPOINT


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    """Give an error and those that led to it."""
    while error:
        yield error
        error = error.__cause__ or error.__context__


def _is_full(error: BaseException) -> bool:
    # The part of huggingface_hub that is written in Rust has no errno, only the system's words.
    code = error.errno if isinstance(error, OSError) else None
    return code in FULL or any(os.strerror(each) in str(error) for each in FULL)
