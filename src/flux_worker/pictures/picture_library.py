"""The pictures that requests name: brought, and decoded."""

import asyncio
import hashlib
import shutil
import tempfile
import weakref
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from flux_worker.contract.pictures import INVALID, MAX_BYTES, DataUrl, source
from flux_worker.contract.urls import Url
from flux_worker.downloads import outcomes
from flux_worker.downloads.attempts import Limits
from flux_worker.downloads.cache import Cache
from flux_worker.downloads.fetching import Fetcher
from flux_worker.downloads.hops import Hops
from flux_worker.downloads.refusals import Refused
from flux_worker.downloads.sharing import Shared
from flux_worker.pictures.decoder import Picture, decode
from flux_worker.pictures.picture_file import PICTURES
from flux_worker.settings import Settings

LIMITS = Limits(patience=60.0, pauses=(0.2, 0.6, 1.8))
KEPT = 10**9
"""Bytes of fetched files."""


class Pictures:
    """Brings each picture once for all jobs that want it at the time, and decodes one by one."""

    def __init__(self, settings: Settings, limits: Limits = LIMITS) -> None:
        """Make an empty folder for what is fetched, which is removed with this.

        Callers' pictures are private: no other user may read them, and no volume keeps them.

        Args:
            settings: say where from.
            limits: of time.
        """
        folder = tempfile.mkdtemp(prefix="flux-worker-pictures-")
        weakref.finalize(self, shutil.rmtree, folder, ignore_errors=True)
        self._cache = Cache(PICTURES, Path(folder), KEPT)
        hops = Hops(settings, PICTURES)
        self._fetcher = Fetcher(PICTURES, hops, self._cache, MAX_BYTES, limits)
        self._pictures: Shared[Picture] = Shared()
        # One thread: the pixels of a single picture may take half a gigabyte on their way.
        self._decoding = ThreadPoolExecutor(1, "pictures")

    async def bring(self, named: Mapping[str, str]) -> dict[str, Picture]:
        """Return a request's pictures.

        A stop cancels it, and with it what no other job waits for.

        Args:
            named: by the parameter's name, what `contract.pictures.source` reads.

        Raises:
            InvalidRequest: some lead to no picture; all of them are named.
            GenerationFailed: some can't be had now.
        """
        return await outcomes.of_all({name: self._bring(text) for name, text in named.items()})

    async def _bring(self, text: str) -> Picture:
        place = await asyncio.to_thread(source, text)
        try:
            return await self._pictures.get(place, lambda: self._at(place))
        except Refused as reason:
            raise Refused(f"{reason} ({INVALID})") from None

    async def _at(self, place: Url | DataUrl) -> Picture:
        loop = asyncio.get_running_loop()
        if isinstance(place, DataUrl):
            return await loop.run_in_executor(self._decoding, decode, place.data)
        data = await self._fetcher.read(place, self._read)
        return await loop.run_in_executor(self._decoding, decode, data)

    async def _read(self, file: Path, digest: str) -> bytes | None:
        """Read a file of the cache; None where it is gone or isn't what its name says."""
        try:
            data, found = await asyncio.to_thread(_with_digest, file)
        except OSError:
            return None
        if found == digest:
            return data
        await asyncio.to_thread(self._cache.drop, digest)
        return None


def _with_digest(file: Path) -> tuple[bytes, str]:
    data = file.read_bytes()
    return data, hashlib.sha256(data).hexdigest()
