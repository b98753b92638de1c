"""Brings one file from the web, whole or not at all, in several attempts and within limits."""

import logging
import time

from aiohttp import ClientError

from flux_worker.contract.loras import HubFile
from flux_worker.contract.urls import Url
from flux_worker.downloads import addresses
from flux_worker.downloads.attempts import Again, Limits, persist, require_file
from flux_worker.downloads.hops import Hops
from flux_worker.downloads.partial_file import PartialFile
from flux_worker.downloads.refusals import Unavailable, Unreached

log = logging.getLogger(__name__)

UNCHANGED = 304
NO_SUCH_RANGE = 416
PROGRESS = 16 << 20
"""Bytes that must have come before a break for it not to count as a failure."""


async def transfer(
    hops: Hops, source: Url | HubFile, part: PartialFile, known: str | None, limits: Limits
) -> bool:
    """Bring a file, unless it is still the one that is known.

    Args:
        hops: finds it.
        source: as `addresses.meant` returns it; of the Hub, with a file.
        part: takes it.
        known: the ETag of the one that is here already.
        limits: of time.

    Returns:
        Whether it was brought.

    Raises:
        Refused: the caller must name something else.
        Unreached: the origin didn't say whether it is still that one.
        Unavailable: it did, but the new one didn't come.
    """
    url = addresses.url(source, hops.endpoint)
    is_hubs = isinstance(source, HubFile)

    async def attempt() -> bool:
        while True:
            before = part.size
            try:
                return await take_on()
            except (ClientError, TimeoutError, OSError):
                if part.size < before + PROGRESS:
                    raise

    async def take_on() -> bool:
        conditions = part.conditions
        if known is not None and not conditions:
            conditions = {"If-None-Match": known}
        async with hops.get(url, conditions, known=known, is_hubs=is_hubs) as reply:
            status = reply.response.status
            if known is not None and (
                status == UNCHANGED or (status < 400 and reply.etag == known)
            ):
                return False
            if status in (UNCHANGED, NO_SUCH_RANGE):
                part.start_over()
                raise Again(status)
            require_file(hops, source, reply)
            await part.take(reply)
        await part.finish()
        return True

    begin, host = time.monotonic(), url.host or ""
    try:
        # With a copy at hand, the job isn't kept waiting for an origin that says nothing.
        is_new = await persist(
            attempt, host, limits, lambda: known is None or part.etag is not None
        )
    except Unreached as reason:
        raise (Unavailable(str(reason)) if part.etag not in (None, known) else reason) from None
    if is_new:
        seconds, megabytes = time.monotonic() - begin, part.size / 1e6
        fields = {"host": host, "megabytes": round(megabytes, 1), "seconds": round(seconds, 1)}
        log.info(f"Fetched a {part.kind.name}.", extra={"fields": fields})
    return is_new
