"""A file that is on its way: what has come of it, and what tells that it is no LoRA."""

import asyncio
import hashlib
import re
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Self

from aiohttp import ClientError, ClientPayloadError
from safetensors import SafetensorError, safe_open

from flux_worker.contract.loras import NO_PICKLE
from flux_worker.downloads import refusals
from flux_worker.downloads.hops import Reply
from flux_worker.downloads.refusals import CIVITAI, Refused

BLOCK = 1 << 20
"""Bytes that are written at once: on a network volume each write is a question to a server."""
LONGEST_HEADER = 100_000_000
"""Bytes, in safetensors' own reader."""
BEGINNING = 9
"""Bytes that tell a safetensors file: the length of its header, and the brace that this begins
with. https://huggingface.co/docs/safetensors#format"""
PICKLES = (b"PK\x03\x04", b"\x80\x02", b"\x80\x03", b"\x80\x04", b"\x80\x05")
"""How torch's files begin: zip archives, and pickles of protocols 2 to 5."""
SHA256 = re.compile(r"[0-9a-f]{64}")


class PartialFile:
    """Takes a file's bytes into a folder, touched when some come; to be closed by `with`."""

    def __init__(self, path: Path, limit: int) -> None:
        """Note where the bytes go to, and how many they may be."""
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
            Refused: it is too large, or no safetensors file.
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
        """Make sure that it is a whole safetensors file, and the one that was announced.

        Raises:
            Refused: it isn't.
            ClientPayloadError: it isn't the one.
        """
        await asyncio.to_thread(self._finish)

    def _finish(self) -> None:
        try:
            self._sink().flush()
            if self.size < BEGINNING:
                raise Refused("leads to a file that is empty or not in safetensors' format")
            with safe_open(self.path, framework="pt"):
                pass
        except SafetensorError:
            raise Refused("leads to a .safetensors file that is damaged or incomplete") from None
        except OSError as error:
            raise refusals.unwritable(error) from None
        announced = (self.etag or "").strip('"')
        if SHA256.fullmatch(announced) and announced != self.digest:
            self.start_over()
            raise ClientPayloadError

    def _begin(self, reply: Reply) -> None:
        answer = reply.response
        if answer.headers.get("Content-Type", "").partition(";")[0].strip() == "text/html":
            raise _page(reply)
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
            raise refusals.unwritable(error) from None

    def _sink(self) -> BinaryIO:
        if self._file is None:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._file = self.path.open("xb")
        return self._file

    def _require_fit(self, size: int) -> None:
        if size > self._limit:
            raise refusals.too_large(self._limit)

    async def _write(self, block: bytearray, reply: Reply) -> None:
        if not self.size and len(block) >= BEGINNING:
            _require_safetensors(bytes(block[:BEGINNING]), reply)
        self.size += len(block)
        await asyncio.to_thread(self._write_now, block)

    def _write_now(self, block: bytearray) -> None:
        self._sum.update(block)
        try:
            self._sink().write(block)
        except OSError as error:
            raise refusals.unwritable(error) from None


def _require_safetensors(beginning: bytes, reply: Reply) -> None:
    if beginning.startswith(PICKLES):
        raise Refused(NO_PICKLE)
    if beginning.lstrip().startswith(b"<"):
        raise _page(reply)
    length = int.from_bytes(beginning[:8], "little")
    if not 2 <= length <= LONGEST_HEADER or beginning[8:9] != b"{":
        raise Refused("leads to a file that isn't in safetensors' format")


def _page(reply: Reply) -> Refused:
    log_in = " that asks for an account" if reply.host == CIVITAI else ""
    return Refused(f"leads to a web page of {reply.host}{log_in}, not to a .safetensors file")
