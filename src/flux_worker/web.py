"""Sends single requests over HTTP, to servers of which nothing good is known.

Whatever they do, a request ends when its task is cancelled, occupies no thread, and no more of an
answer is read than is worth reading.
"""

import io
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

from aiohttp import ClientResponse, ClientSession, ClientTimeout, DummyCookieJar, TCPConnector
from yarl import URL

from flux_worker import guard
from flux_worker.guard import ForbiddenAddress

SILENCE = ClientTimeout(total=None, sock_connect=5, sock_read=30)
"""Seconds to connect, and until the next byte of an answer."""
ANSWER_LIMIT = 65_536
"""Bytes that are read of an answer: an S3 error has about one thousand."""


@dataclass(frozen=True)
class Answer:
    """A server's answer, as far as it is read."""

    status: int
    headers: Mapping[str, str]
    body: bytes


def session(*, callers_url: str | None = None, allow_private: bool = False) -> ClientSession:
    """Return a session for a few requests, to be closed by `async with`.

    Args:
        callers_url: where the requests go, if a caller has said so. Behind a proxy, only that
            knows where it leads to, and must look after it.
        allow_private: whether that may be a private address.
    """
    is_guarded = callers_url is not None and not proxy_of(callers_url)
    sockets = guard.socket_factory(allow_private=allow_private) if is_guarded else None
    return ClientSession(
        # Kept open, a connection on which more comes than was announced can't be closed any more:
        # aiohttp 3.14.5 raises AttributeError then.
        connector=TCPConnector(socket_factory=sockets, force_close=True),
        timeout=SILENCE,
        cookie_jar=DummyCookieJar(),
        auto_decompress=False,
    )


async def ask(
    to: ClientSession,
    method: str,
    url: str,
    headers: Mapping[str, str] = {},
    data: bytes = b"",
    limit: int = ANSWER_LIMIT,
    **options: Any,
) -> Answer:
    """Send a request and return the answer.

    Args:
        to: sends it.
        method: of the request.
        url: quoted already.
        headers: of the request, beside those of every one.
        data: the body.
        limit: bytes of the answer's body that are read.
        options: of aiohttp.

    Raises:
        ClientError, TimeoutError, OSError: there is none.
    """
    async with sending(to, method, url, headers, data, **options) as response:
        body = bytearray()
        while len(body) < limit and (chunk := await response.content.read(ANSWER_LIMIT)):
            body += chunk
        return Answer(response.status, response.headers, bytes(body[:limit]))


@asynccontextmanager
async def sending(
    to: ClientSession,
    method: str,
    url: str,
    headers: Mapping[str, str] = {},
    data: bytes = b"",
    **options: Any,
) -> AsyncIterator[ClientResponse]:
    """Send a request as `ask` does, and give the answer before its body is read."""
    async with to.request(
        method,
        URL(url, encoded=True),
        data=io.BytesIO(data) if data else None,
        headers={**headers, "Accept-Encoding": "identity"},
        skip_auto_headers=("Content-Type",),
        proxy=proxy_of(url),
        **options,
    ) as response:
        yield response


def forbidden(error: BaseException) -> ForbiddenAddress | None:
    """Return what the guard said, which aiohttp reports as a failure to connect."""
    inner = getattr(error, "os_error", error)
    return inner if isinstance(inner, ForbiddenAddress) else None


def proxy_of(url: str) -> str | None:
    """Return the proxy that the environment names for a URL, as all clients have it."""
    parts = urlsplit(url)
    if proxy_bypass(parts.hostname or ""):
        return None
    proxy = getproxies().get(parts.scheme)
    return proxy if proxy is None or "://" in proxy else f"http://{proxy}"
