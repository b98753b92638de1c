"""The pictures that endpoints answer with, and those that are dropped on the page."""

import base64
import binascii
from typing import Any

from aiohttp import ClientError, ClientTimeout

from flux_worker import guard, web
from flux_worker.contract.formats import JPEG, PNG
from flux_worker.delivery import images
from flux_worker.guard import ForbiddenAddress
from playground.places import Place

PATIENCE = ClientTimeout(total=120, sock_connect=5, sock_read=30)
LARGEST = 20_000_000
"""Bytes: twice as much as the worker can make."""
EXTENSIONS = {b"\xff\xd8\xff": JPEG.extension, images.PNG_SIGNATURE: PNG.extension}
"""By the first bytes of a file."""


class NoPicture(Exception):
    """There is no picture to show. The message says why."""


class Gone(NoPicture):
    """There was one, and there never will be again."""


async def fetch(url: object, place: Place) -> bytes:
    """Return the file behind an answer's `image_url`.

    Raises:
        NoPicture: it can't be had.
    """
    if not isinstance(url, str):
        raise NoPicture("The answer has no image_url.")
    data = _inside(url) if url.startswith("data:") else await _download(url, place)
    if extension(data) is None:
        raise NoPicture("What is behind the answer's image_url is neither JPEG nor PNG.")
    return data


def extension(data: bytes) -> str | None:
    """Return what a file of these bytes is called, or None where it is no picture of a worker's."""
    return next((end for start, end in EXTENSIONS.items() if data.startswith(start)), None)


def parameters(data: bytes) -> dict[str, Any]:
    """Return the parameters that the worker wrote into a file.

    Raises:
        NoPicture: there are none.
    """
    if extension(data) is None:
        raise NoPicture("That file is no JPEG or PNG.")
    try:
        found = images.read_parameters(data)
    except Exception:
        found = None
    if not isinstance(found, dict):
        raise NoPicture(
            "That picture carries no parameters: it isn't a worker's, its operator leaves them "
            "out (EMBED_METADATA=false), or a program has removed them. To start from it, drop it "
            "on Input picture."
        )
    return found


def _inside(url: str) -> bytes:
    try:
        return base64.b64decode(url.partition(",")[2], validate=True)
    except (binascii.Error, ValueError):
        raise NoPicture("The answer's image_url is a data: URL that can't be read.") from None


async def _download(url: str, place: Place) -> bytes:
    """Only an endpoint that is itself on a private network may lead to another address there."""
    try:
        await guard.check_host(place.host, allow_private=False)
        allow_private = False
    except ForbiddenAddress:
        allow_private = place.allow_private
    try:
        async with web.session(callers_url=url, allow_private=allow_private) as session:
            answer = await web.ask(session, "GET", url, limit=LARGEST + 1, timeout=PATIENCE)
    except (ClientError, OSError, TimeoutError, ValueError):
        raise NoPicture(
            "The picture can't be fetched: check that this machine reaches its bucket, then ask "
            "again."
        ) from None
    if answer.status in (403, 404, 410):
        raise Gone(f"The picture's URL has expired: the bucket answers with HTTP {answer.status}.")
    if answer.status != 200:
        raise NoPicture(f"The bucket answers with HTTP {answer.status}: ask again later.")
    if len(answer.body) > LARGEST:
        raise NoPicture("The file behind the answer's image_url is too large to be shown.")
    return answer.body
