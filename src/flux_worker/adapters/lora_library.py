"""The LoRAs that requests name: brought, read, and held ready."""

import asyncio
import hashlib
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Protocol

from huggingface_hub import constants

from flux_worker.adapters import local, reading
from flux_worker.adapters.deltas import Adapter, Layers, Unfit, Weighed
from flux_worker.adapters.local import Signature
from flux_worker.adapters.lora_file import LORAS
from flux_worker.adapters.shelf import Shelf
from flux_worker.contract.loras import LocalFile, Lora, source
from flux_worker.downloads import outcomes
from flux_worker.downloads.attempts import LIMITS, Limits
from flux_worker.downloads.cache import Cache
from flux_worker.downloads.fetching import Fetcher
from flux_worker.downloads.hops import Hops
from flux_worker.downloads.refusals import Refused, Unavailable
from flux_worker.downloads.sharing import Shared
from flux_worker.settings import Settings

HELD = 2 << 30
"""Bytes of LoRAs that are held in host memory, beside those of running jobs."""


class Read(Protocol):
    """Reads a file into memory."""

    def __call__(self, file: Path, layers: Layers, max_rank: int) -> Adapter:
        """Return what it adds to these layers; raises `Unfit`, also for a higher rank."""


class Library:
    """Brings each file once for all jobs that want it, and reads it once."""

    def __init__(
        self,
        settings: Settings,
        layers: Layers,
        read: Read = reading.read,
        limits: Limits = LIMITS,
    ) -> None:
        """Touch nothing yet.

        Args:
            settings: say where from, where to and how much.
            layers: of the model that is served.
            read: reads a file.
            limits: of time.
        """
        megabyte = 10**6
        self._folder = settings.lora_dir
        self._largest = settings.max_lora_mb * megabyte
        self._read = partial(read, layers=layers, max_rank=settings.max_lora_rank)
        folder = settings.lora_cache_dir or Path(constants.HF_HOME) / "loras"
        self._cache = Cache(LORAS, folder, settings.lora_cache_gb * 1000 * megabyte)
        self._fetcher = Fetcher(LORAS, Hops(settings, LORAS), self._cache, self._largest, limits)
        self._shelf = Shelf(HELD)
        self._adapters: Shared[Adapter] = Shared()
        self._local: dict[str, tuple[Signature, str]] = {}

    async def bring(self, loras: Sequence[Lora]) -> tuple[Weighed, ...]:
        """Return what a request's LoRAs add to the model, in their order.

        A stop cancels it, and with it what no other job waits for.

        Raises:
            InvalidRequest: some can't be had or don't fit; all of them are named.
            GenerationFailed: some can't be had now.
        """
        wanted = {f"loras[{n}].path": self._bring(lora) for n, lora in enumerate(loras)}
        adapters = (await outcomes.of_all(wanted)).values()
        return tuple(zip(adapters, (lora.scale for lora in loras), strict=True))

    async def _bring(self, lora: Lora) -> Adapter:
        place = source(lora.path)
        try:
            if isinstance(place, LocalFile):
                return await self._adapters.get(place, lambda: self._on_disk(place))
            key = self._fetcher.key(place)
            return await self._adapters.get(
                key, lambda: self._fetcher.read(place, self._from_cache)
            )
        except Unfit as reason:
            raise Refused(str(reason)) from None

    async def _from_cache(self, file: Path, digest: str) -> Adapter | None:
        """Read a file of the cache; None where it is gone or isn't what its name says."""
        if held := self._shelf.get(digest):
            return held
        try:
            if (await asyncio.to_thread(file.stat)).st_size > self._largest:
                raise LORAS.too_large(self._largest)  # another worker's may be higher
            adapter = await asyncio.to_thread(self._read, file)
        except OSError:
            return None
        except Unfit:
            if await asyncio.to_thread(_digest, file) == digest:
                raise
            adapter = None
        if adapter is None or adapter.digest != digest:
            await asyncio.to_thread(self._cache.drop, digest)
            return None
        self._shelf.put(adapter)
        return adapter

    async def _on_disk(self, place: LocalFile) -> Adapter:
        file = self._folder / place.name
        now = await asyncio.to_thread(local.signature, file, self._largest)
        known, digest = self._local.get(place.name, (None, ""))
        if known == now and (held := self._shelf.get(digest)):
            return held
        try:
            adapter = await asyncio.to_thread(self._read, file)
        except OSError as error:
            raise local.refusal(error) from None
        except Unfit:  # half a file is no sound one
            await self._require_unchanged(file, now)
            raise
        await self._require_unchanged(file, now)
        self._local[place.name] = now, adapter.digest
        self._shelf.put(adapter)
        return adapter

    async def _require_unchanged(self, file: Path, before: Signature) -> None:
        if before != await asyncio.to_thread(local.signature, file, self._largest):
            raise Unavailable("was changed while it was read; send the job again")


def _digest(file: Path) -> str | None:
    try:
        with file.open("rb") as content:
            return hashlib.file_digest(content, "sha256").hexdigest()
    except OSError:
        return None
