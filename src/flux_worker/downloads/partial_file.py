"""A file that is on its way: what has come of it, and what tells that it is no such file."""

import asyncio
import hashlib
import re
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Self

from aiohttp import ClientError, ClientPayloadError

from flux_worker.downloads.hops import Reply
from flux_worker.downloads.kinds import Kind
from flux_worker.downloads.refusals import Refused

BLOCK = 1 << 20
"""Bytes that are written at once: on a network volume each write is a question to a server."""
BEGINNING = 512
"""Bytes of a file, at most, by which its kind is told."""
SHA256 = re.compile(r"[0-9a-f]{64}")


class PartialFile:
    """Takes a file's bytes into a folder, touched when some come; to be closed by `with`."""

    def __init__(self, kind: Kind, path: Path, limit: int) -> None:
        """Note what comes, where its bytes go to, and how many they may be."""
        self.kind = kind
        self.path = path
        self.etag: str | None = None
        self._limit = limit
        self._file: BinaryIO | None = None
        self.size, self._sum, self._tag = 0, hashlib.sha256(), ""

    def __enter__(self) -> Self:
        """Return itself."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        """Remove it, if nobody has moved it to its place."""
        if self._file:
            try:
                self._file.close()
            finally:
                self.path.unlink(missing_ok=True)

    @property
    def digest(self) -> str:
        """SHA-256 of what has come, in hexadecimal."""
        return self._sum.hexdigest()

    @property
    def conditions(self) -> dict[str, str]:
        """Headers that ask for the rest, if the file is still the one that this is a part of."""
        if not self.size or not self._tag:
            return {}
        return {"Range": f"bytes={self.size}-", "If-Range": self._tag}

    async def take(self, reply: Reply) -> None:
        """Take a file's answer, or the rest of a file's, to its end.

        Raises:
            Refused: it is too large, or no file of its kind.
            ClientError, TimeoutError, OSError: it broke off; `conditions` ask for the rest.
        """
        self._begin(reply)
        block = bytearray()
        try:
            while chunk := await reply.response.content.readany():
                block += chunk
                self._require_fit(self.size + len(block))
                if len(block) >= BLOCK:
                    await self._write(block, reply)
                    block = bytearray()
        except (ClientError, TimeoutError, OSError):
            await self._write(block, reply)
            raise
        await self._write(block, reply)
        if reply.response.status == 206 and self.size < (reply.size or 0):
            raise ClientPayloadError

    async def finish(self) -> None:
        """Make sure that it is a whole file of its kind, and the one that was announced.

        Raises:
            Refused: it isn't.
            ClientPayloadError: it isn't the one.
        """
        await asyncio.to_thread(self._finish)

    def _finish(self) -> None:
        try:
            self._sink().flush()
            if self.size < self.kind.least:
                raise Refused(self.kind.empty)
            self.kind.require_whole(self.path)
        except OSError as error:
            raise self.kind.not_kept(error) from None
        announced = (self.etag or "").strip('"')
        if SHA256.fullmatch(announced) and announced != self.digest:
            self.start_over()
            raise ClientPayloadError

    def _begin(self, reply: Reply) -> None:
        answer = reply.response
        if answer.headers.get("Content-Type", "").partition(";")[0].strip() == "text/html":
            raise self.kind.page(reply.host)
        is_part = answer.status == 206
        is_same = not self.size or reply.etag == self.etag
        place = answer.headers.get("Content-Range", "")
        if is_part and not (is_same and place.startswith(f"bytes {self.size}-")):
            self.start_over()
            raise ClientPayloadError
        if not is_part or not self.size:
            self.start_over()
            self.etag = reply.etag
            tag = answer.headers.get("ETag", "")
            self._tag = tag if tag.startswith('"') else ""  # a weak one doesn't tell bytes
        self._require_fit(reply.size or 0)

    def start_over(self) -> None:
        """Forget what has come."""
        self.size, self._sum, self._tag = 0, hashlib.sha256(), ""
        try:
            self._sink().seek(0)
            self._sink().truncate()
        except OSError as error:
            raise self.kind.not_kept(error) from None

    def _sink(self) -> BinaryIO:
        if self._file is None:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._file = self.path.open("xb")
        return self._file

    def _require_fit(self, size: int) -> None:
        if size > self._limit:
            raise self.kind.too_large(self._limit)

    async def _write(self, block: bytearray, reply: Reply) -> None:
        if not self.size and len(block) >= self.kind.least:
            self.kind.require_beginning(bytes(block[:BEGINNING]), reply.host)
        self.size += len(block)
        await asyncio.to_thread(self._write_now, block)

    def _write_now(self, block: bytearray) -> None:
        self._sum.update(block)
        try:
            self._sink().write(block)
        except OSError as error:
            raise self.kind.not_kept(error) from None
