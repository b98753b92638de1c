"""Asks for a file on the web and follows where that leads, one guarded hop after the other.

huggingface_hub's and other clients follow redirects by themselves, to wherever they lead, and can't
be stopped in the middle of a file.
"""

import re
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass

from aiohttp import ClientResponse
from huggingface_hub import constants
from pydantic import SecretStr
from yarl import URL

from flux_worker import __version__, web
from flux_worker.downloads.addresses import HUB, plain
from flux_worker.downloads.kinds import Kind
from flux_worker.downloads.refusals import CIVITAI, Refused
from flux_worker.errors import CannotStart
from flux_worker.settings import Settings

MOST_HOPS = 8
REDIRECTS = frozenset({301, 302, 303, 307, 308})
SIZE = re.compile(r"[0-9]{1,18}")
"""Bytes. Python doesn't read numbers of thousands of digits."""
USER_AGENT = f"flux-worker/{__version__}"


@dataclass(frozen=True)
class Reply:
    """The answer at the end of the way, whose body is still to be read."""

    response: ClientResponse
    host: str
    etag: str | None
    """Of the file, as the Hub tells it before it redirects to a CDN with tags of its own."""
    size: int | None
    """Bytes of the whole file, where the Hub or the answer tells."""


class Hops:
    """Knows where callers may send this worker, and which token is for whom."""

    def __init__(self, settings: Settings, kind: Kind) -> None:
        """Read the hosts and the tokens, and the Hub's address from huggingface_hub.

        Args:
            settings: name them.
            kind: of the files that are asked for.

        Raises:
            CannotStart: that is no address.
        """
        self._setting = kind.hosts
        self._patterns = getattr(settings, kind.hosts.lower()).split(",")
        self._allow_private = settings.allow_private_addresses
        self.endpoint = constants.ENDPOINT or f"https://{HUB}"
        try:
            self._mirror = URL(self.endpoint).origin()
        except ValueError:
            raise CannotStart(
                f"HF_ENDPOINT must be a URL, such as https://{HUB}, which it is by default."
            ) from None
        self.tokens: dict[URL, SecretStr | None] = {}
        if kind.takes_tokens:
            self.tokens = {
                URL(f"https://{HUB}"): settings.hf_token,
                self._mirror: settings.hf_token,
                URL(f"https://{CIVITAI}"): settings.civitai_token,
            }

    @asynccontextmanager
    async def get(
        self, url: URL, headers: Mapping[str, str], *, known: str | None = None, is_hubs: bool
    ) -> AsyncIterator[Reply]:
        """Send a request, follow redirects, and give the answer.

        Args:
            url: where to begin.
            headers: of the request, at every hop.
            known: an ETag that ends the way where it is told.
            is_hubs: whether the URL is the Hub's, not a caller's, and the Hub's mirror trusted.

        Raises:
            Refused: it leads where callers have no business.
            ClientError, TimeoutError, OSError: it can't be reached.
        """
        at, told = url, dict[str, str]()
        for _ in range(MOST_HOPS):
            is_mirrors = is_hubs and self.is_mirrors(at)
            self._require(at, is_mirrors=is_mirrors, is_first=at is url)
            callers_url = None if is_mirrors else str(at)
            own = {"User-Agent": USER_AGENT, **headers, **self._authorization(at)}
            async with (
                web.session(callers_url=callers_url, allow_private=self._allow_private) as to,
                web.sending(to, "GET", str(at), own, allow_redirects=False) as response,
            ):
                told = {**_told(response), **told}
                etag = told.get("etag")
                onward = response.headers.get("Location")
                is_over = response.status not in REDIRECTS or onward is None
                if is_over or (known is not None and etag == known):
                    etag = etag or response.headers.get("ETag") or None
                    yield Reply(response, at.raw_host or "", etag, _size(response, told))
                    return
            at = _next(at, onward or "")
        raise Refused("leads from one address to the next without an end")

    def is_mirrors(self, url: URL) -> bool:
        """Whether a URL is at the Hub, or at the mirror of it that the operator has named."""
        return url.origin() == self._mirror

    def _require(self, url: URL, *, is_mirrors: bool, is_first: bool) -> None:
        host = url.raw_host or ""
        allowed = HUB if is_mirrors else host
        if not any(_matches(pattern, allowed) for pattern in self._patterns):
            way = "is" if is_first else "leads to a file"
            raise Refused(f"{way} at {allowed}, which is none of the worker's {self._setting}")
        if url.scheme != "https" and not is_mirrors:
            raise Refused(f"leads to {host} without TLS: only https is followed")

    def _authorization(self, url: URL) -> dict[str, str]:
        token = self.tokens.get(url.origin())
        return {"Authorization": f"Bearer {token.get_secret_value()}"} if token else {}


def _matches(pattern: str, host: str) -> bool:
    if pattern == "*":
        return True
    return host.endswith(pattern[1:]) if pattern.startswith("*.") else host == pattern


def _told(response: ClientResponse) -> dict[str, str]:
    """Return what the Hub says of a file beside where it is."""
    names = {"etag": "X-Linked-ETag", "size": "X-Linked-Size"}
    return {key: response.headers[name] for key, name in names.items() if name in response.headers}


def _size(response: ClientResponse, told: Mapping[str, str]) -> int | None:
    if SIZE.fullmatch(told.get("size", "")):
        return int(told["size"])
    total = response.headers.get("Content-Range", "").rpartition("/")[2]
    length = total if response.status == 206 else response.headers.get("Content-Length", "")
    return int(length) if SIZE.fullmatch(length) else None


def _next(at: URL, location: str) -> URL:
    # A signature survives only as it was written.
    try:
        onward = at.join(URL(location, encoded=bool(re.fullmatch(r"[!-~]+", location))))
        if onward.scheme not in ("http", "https"):
            raise ValueError
        return plain(onward)
    except ValueError:
        raise Refused(f"leads from {at.host} to an address that is none") from None
