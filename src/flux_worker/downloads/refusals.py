"""Says in a clause, chosen by the cause, why a file from the web can't be had.

Each follows the name of what was given, `loras[0].path`. None repeats a URL, only its host: the
rest may hold a key.
"""

from collections.abc import Mapping

from flux_worker.contract.loras import HubFile

CIVITAI = "civitai.com"


class Refused(Exception):
    """The caller must name something else. The message is the clause."""


class Unavailable(Exception):
    """It can't be had now, through no fault of the caller's. The message is the clause."""


class Unreached(Unavailable):
    """Nor did its origin say whether it is still what it was."""


def unreached(host: str, status: int | None) -> Unreached:
    """Return what is raised when an origin doesn't give a file that it may have."""
    did = f"answers {status}" if status else "doesn't answer, or breaks off again and again"
    return Unreached(f"can't be fetched now: {host} {did}; send the job again")


def of_hub(
    status: int, headers: Mapping[str, str], wanted: HubFile, page: str, *, has_token: bool
) -> Exception:
    """Return what is raised for an answer of the Hub that isn't a file.

    Args:
        status: of the answer.
        headers: of the answer; one says which of many causes it is.
        wanted: what was asked for.
        page: the repository's.
        has_token: whether HF_TOKEN is set.
    """
    name = wanted.repository
    match headers.get("X-Error-Code"):
        case "GatedRepo" if has_token:
            return Refused(
                f"names {name}, which is gated: the account of the worker's HF_TOKEN must be "
                f"granted access on {page}"
            )
        case "GatedRepo":
            return Refused(
                f"names {name}, which is gated: the worker's operator must accept its terms on "
                f"{page} and set HF_TOKEN"
            )
        case "RevisionNotFound":
            return Refused(f"names a revision that {name} doesn't have: see {page}/commits/main")
        case "EntryNotFound":
            return Refused(f"names a file that {name} doesn't have: see {page}/tree/main")
        case "RepoNotFound":
            return _no_repository(name, has_token=has_token)
    if status == 401 and has_token:
        return Refused(f"can't be had from {name}: the Hub doesn't accept the worker's HF_TOKEN")
    if status == 403 and has_token:
        return Refused(f"names {name}, which the worker's HF_TOKEN may not read")
    if status in (401, 403, 404):
        return _no_repository(name, has_token=has_token)
    return Refused(f"names {name}, for which the Hub answers {status}: see whether {page} opens")


def _no_repository(name: str, *, has_token: bool) -> Refused:
    token = "read by the worker's HF_TOKEN" if has_token else "read without a HF_TOKEN"
    return Refused(f"names {name}, which isn't on the Hub, or is private and can't be {token}")


def of_host(status: int, host: str, *, has_token: bool | None) -> Exception:
    """Return what is raised for the answer of any other host that isn't a file.

    Args:
        status: of the answer.
        host: that gave it.
        has_token: whether the operator has set a token for it; None where none is ever sent.
    """
    if status in (401, 403) and host == CIVITAI and has_token is not None:
        if has_token:
            return Refused(f"is a file that {host} doesn't give to the worker's CIVITAI_TOKEN")
        return Refused(
            f"is a file that {host} gives to accounts only: the worker's operator must set "
            "CIVITAI_TOKEN"
        )
    if status in (401, 403):
        return Refused(f"is refused by {host} ({status}): it needs a key, or its URL has expired")
    if status in (404, 410):
        return Refused(f"leads to no file: {host} answers {status}")
    return Refused(f"leads to no file that can be fetched: {host} answers {status}")
