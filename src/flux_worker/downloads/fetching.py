"""Brings what is on the web into the cache, and asks its origin each time whether that changed."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from huggingface_hub import constants

from flux_worker.contract.loras import HubFile
from flux_worker.contract.urls import Url
from flux_worker.downloads import addresses, hub
from flux_worker.downloads.attempts import Limits
from flux_worker.downloads.cache import Cache, Entry
from flux_worker.downloads.hops import Hops
from flux_worker.downloads.kinds import Kind
from flux_worker.downloads.partial_file import PartialFile
from flux_worker.downloads.refusals import Refused, Unavailable, Unreached
from flux_worker.downloads.transfer import transfer

log = logging.getLogger(__name__)
T = TypeVar("T")


@dataclass(frozen=True)
class Fetcher:
    """Knows by which ETag each file in the cache came."""

    kind: Kind
    hops: Hops
    cache: Cache
    largest: int
    """Bytes of a file."""
    limits: Limits

    def key(self, source: Url | HubFile) -> str:
        """Return what all names of a source share, and no other source has.

        Raises:
            Refused: it can be no source.
        """
        return addresses.key(self.kind.meant(source), self.hops.endpoint)

    async def read(
        self, source: Url | HubFile, read: Callable[[Path, str], Awaitable[T | None]]
    ) -> T:
        """Return what is read of the file that a source holds now.

        Args:
            source: as a request names it.
            read: takes the file, and the SHA-256 of its content; returns None where it is gone by
                now, or isn't what that says.

        Raises:
            Refused: the caller must name something else.
            Unavailable: it can't be had or kept now.
        """
        with self.cache.holding() as held:
            for afresh in (False, True):
                digest = await self.content(source, held, afresh=afresh)
                file = await asyncio.to_thread(self.cache.file, digest)
                if (found := await read(file, digest)) is not None:
                    return found
        raise Unavailable(self.kind.gone)

    async def content(self, source: Url | HubFile, held: set[str], *, afresh: bool = False) -> str:
        """Return the SHA-256 of what a source holds now, with the file in the cache.

        The file may be gone all the same: ask for it afresh then.

        Args:
            source: as a request names it.
            held: of the cache; takes the content.
            afresh: whether what is here already doesn't count.

        Raises:
            Refused: the caller must name something else.
            Unavailable: it can't be had or kept now.
        """
        source, key = self.kind.meant(source), self.key(source)
        entry = None if afresh else await asyncio.to_thread(self.cache.find, key)
        if entry:
            held.add(entry.digest)
        if isinstance(source, HubFile):
            if entry and (addresses.is_pinned(source) or constants.HF_HUB_OFFLINE):
                return entry.digest
            if constants.HF_HUB_OFFLINE:
                raise Refused(
                    "isn't in the worker's cache, and with HF_HUB_OFFLINE no Hub is asked"
                )
        try:
            if isinstance(source, HubFile) and source.file is None:
                found = await self._only(source, entry, held, afresh=afresh)
            else:
                found = await self._newest(source, entry, held)
        except Unreached:
            if entry is None:
                raise
            url = addresses.url(source, self.hops.endpoint)
            log.warning(
                f"A {self.kind.name}'s origin doesn't answer, so the copy in the cache is used.",
                extra={"fields": {"host": url.host}},
            )
            return entry.digest
        if found != entry:
            await asyncio.to_thread(self.cache.note, key, found)
        return found.digest

    async def _only(
        self, source: HubFile, entry: Entry | None, held: set[str], *, afresh: bool
    ) -> Entry:
        has_copy = entry is not None
        named = await hub.only_file(self.hops, source, self.limits, has_copy=has_copy)
        try:
            return Entry(await self.content(named, held, afresh=afresh), None)
        except Unreached as reason:  # the Hub has told by now: the copy isn't what is asked for
            raise Unavailable(str(reason)) from None

    async def _newest(self, source: Url | HubFile, entry: Entry | None, held: set[str]) -> Entry:
        known = entry.etag if entry else None
        with PartialFile(self.kind, self.cache.new_part(), self.largest) as part:
            is_new = await transfer(self.hops, source, part, known, self.limits)
            if entry and not is_new:
                return entry
            held.add(part.digest)
            await asyncio.to_thread(self.cache.keep, part.path, part.digest)
            return Entry(part.digest, part.etag)
