"""Asks an origin again where that may help, for a limited time."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from aiohttp import ClientError, InvalidURL

from flux_worker import web
from flux_worker.contract.loras import HubFile
from flux_worker.contract.urls import Url
from flux_worker.downloads import refusals
from flux_worker.downloads.hops import Hops, Reply
from flux_worker.downloads.refusals import CIVITAI, Refused, Unavailable

T = TypeVar("T")

PASSING = frozenset({408, 425, 429})
"""Statuses below 500 with which a server asks to be tried again."""


@dataclass(frozen=True)
class Limits:
    """How long an origin may take, in seconds."""

    patience: float = 600.0
    """For all attempts together: 2 GB take as long at 27 Mbit/s."""
    pauses: Sequence[float] = (0.2, 0.6, 1.8, 5.4)
    """Between the attempts, of which there is one more."""


LIMITS = Limits()


class Again(Exception):
    """The attempt failed, and the next may not. Holds the status, where there was an answer."""

    def __init__(self, status: int | None = None) -> None:
        super().__init__()
        self.status = status


async def persist(
    attempt: Callable[[], Awaitable[T]],
    host: str,
    limits: Limits,
    is_worth_it: Callable[[], bool],
) -> T:
    """Make attempts until one succeeds.

    Args:
        attempt: raises `Again`, or what aiohttp does, where the next may succeed.
        host: to be named.
        limits: of time.
        is_worth_it: whether another attempt is, after one that failed.

    Raises:
        Refused: the caller must name something else.
        Unreached: none succeeded.
        Unavailable: there was no time left.
    """
    status: int | None = None
    try:
        async with asyncio.timeout(limits.patience):
            for pause in (0, *limits.pauses):
                await asyncio.sleep(pause)
                try:
                    return await attempt()
                except Again as failure:
                    status = failure.status
                except (ClientError, TimeoutError, OSError) as error:
                    status = None
                    _require_passing(error)
                if not is_worth_it():
                    break
    except TimeoutError:
        raise Unavailable(
            f"can't be fetched now: {host} takes longer than {limits.patience:g} seconds; send the "
            "job again"
        ) from None
    raise refusals.unreached(host, status)


def _require_passing(error: Exception) -> None:
    if said := web.forbidden(error):
        raise Refused(str(said)) from None
    if isinstance(error, InvalidURL):
        raise Refused("has a host that no server can have") from None


def require_file(hops: Hops, source: Url | HubFile, reply: Reply) -> None:
    """Make sure that an answer is what was asked for.

    Raises:
        Refused: it says that there is none for us.
        Again: it says that there may be one later.
    """
    answer = reply.response
    status = answer.status
    if reply.host == CIVITAI and answer.url.path.startswith("/login"):
        status = 401
    if status in (200, 206):
        return
    if status in PASSING or status >= 500:
        raise Again(status)
    origin = answer.url.origin()
    has_token = bool(hops.tokens.get(origin))
    if isinstance(source, HubFile) and hops.is_mirrors(answer.url):
        page = f"{hops.endpoint}/{source.repository}"
        raise refusals.of_hub(status, answer.headers, source, page, has_token=has_token)
    is_known = origin in hops.tokens
    raise refusals.of_host(status, reply.host, has_token=has_token if is_known else None)
