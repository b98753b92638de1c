"""One HTTP request, waited for: every failure to get an answer is a sentence."""

import asyncio
import json
import re
from collections.abc import Mapping
from urllib.parse import urlsplit

from aiohttp import ClientError, ClientSSLError, ClientTimeout

from builder.deploy.errors import CannotDeploy, Unanswered
from flux_worker import web
from flux_worker.web import Answer
from playground.places import is_loopback

LARGEST_ANSWER = 25_000_000
"""Bytes: more than any answer has, a picture of 9.45 MB as a `data:` URL included."""


def headers(url: str, key: str) -> dict[str, str]:
    """Return a request's headers, the key among them where nobody on the way can read it.

    Raises:
        CannotDeploy: the key would go over the network unencrypted.
    """
    common = {"Content-Type": "application/json", "Accept": "application/json"}
    try:
        parts = urlsplit(url)
    except ValueError:
        raise CannotDeploy("RUNPOD_API_URL is no URL: correct it, or unset it.") from None
    if not key:
        return common
    if not re.fullmatch(r"[!-~]+", key):
        raise CannotDeploy("RUNPOD_API_KEY has a character that no key has: copy it again.")
    if parts.scheme != "https":
        where = f"{parts.scheme}://{parts.netloc}"
        if not is_loopback(parts.hostname or ""):
            raise CannotDeploy(
                f"The API key isn't sent to {where} unencrypted: use https, or unset "
                "RUNPOD_API_KEY."
            )
        if web.proxy_of(url):
            raise CannotDeploy(
                f"The API key isn't sent to {where} by way of the proxy that HTTP_PROXY names: add "
                f"{parts.hostname} to NO_PROXY, or unset RUNPOD_API_KEY."
            )
    return {**common, "Authorization": f"Bearer {key}"}


def ask(
    method: str,
    url: str,
    sent: Mapping[str, str] = {},
    body: object = None,
    *,
    seconds: float = 60,
) -> Answer:
    """Send a request, follow no redirect, and return the answer, whatever its status.

    Raises:
        Unanswered: there is none.
    """
    place = f"{urlsplit(url).scheme}://{urlsplit(url).netloc}"
    data = b"" if body is None else json.dumps(body).encode()
    try:
        return asyncio.run(_ask(method, url, sent, data, seconds))
    except TimeoutError:
        raise Unanswered(f"{place} doesn't answer within {seconds:.0f} seconds.") from None
    except ClientSSLError:
        raise Unanswered(f"{place} can't be talked to by TLS: check its address.") from None
    except (ClientError, OSError, ValueError) as error:
        raise Unanswered(
            f"{place} can't be reached, or breaks off ({type(error).__name__}): check the address "
            "and this machine's network."
        ) from None


async def _ask(
    method: str, url: str, sent: Mapping[str, str], data: bytes, seconds: float
) -> Answer:
    async with web.session() as session:
        return await web.ask(
            session,
            method,
            url,
            sent,
            data,
            limit=LARGEST_ANSWER,
            timeout=ClientTimeout(total=seconds, sock_connect=min(seconds, 10)),
            allow_redirects=False,
        )
