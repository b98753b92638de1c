"""Asks an endpoint over Runpod's API. What goes wrong is a sentence that says what to do.

https://docs.runpod.io/serverless/endpoints/operations
"""

import json
from collections.abc import Mapping
from typing import Any

from aiohttp import ClientError, ClientSSLError, ClientTimeout

from flux_worker import web
from playground.places import Place

PATIENCE = ClientTimeout(total=120, sock_connect=5, sock_read=30)
"""Seconds; none of these operations waits for a job, but pictures take a while to send."""
LARGEST_ANSWER = 25_000_000
"""Bytes: more than any job's answer has, a picture of 9.45 MB as a `data:` URL included."""

LONGEST_REASON = 5_000
"""Letters of an endpoint's own words that are passed on: a sentence, or a traceback."""


class EndpointError(Exception):
    """The endpoint doesn't do what it is asked. The message says what to do."""


class Unavailable(EndpointError):
    """It can't be asked now; asking again may help."""


class Refused(EndpointError):
    """It says no, and will say so again."""


class UnknownJob(Refused):
    """The endpoint has no such job."""


async def submit(place: Place, job_input: Mapping[str, Any]) -> str:
    """Queue a job and return its id.

    Raises:
        EndpointError: it isn't known to be queued.
    """
    body = await _ask(place, "POST", "/run", {"input": dict(job_input)}, wanted="id")
    return str(body["id"])


async def status(place: Place, job_id: str) -> dict[str, Any]:
    """Return how a job stands: its `status`, and whatever else the endpoint tells.

    Raises:
        UnknownJob: its result isn't kept any more, or it never was.
        EndpointError: the endpoint doesn't tell.
    """
    return await _ask(place, "GET", f"/status/{job_id}", wanted="status")


async def cancel(place: Place, job_id: str) -> None:
    """Stop a job, whether it waits or runs.

    Raises:
        EndpointError: it may go on.
    """
    await _ask(place, "POST", f"/cancel/{job_id}", wanted="status")


async def _ask(
    place: Place, method: str, operation: str, body: object = None, *, wanted: str
) -> dict[str, Any]:
    """Send a request, and return an answer in which this key has a text."""
    headers = {"Content-Type": "application/json"}
    if place.key:
        headers["Authorization"] = f"Bearer {place.key}"
    url = place.url + operation
    try:
        async with web.session(callers_url=url, allow_private=place.allow_private) as session:
            answer = await web.ask(
                session,
                method,
                url,
                headers,
                b"" if body is None else json.dumps(body).encode(),
                limit=LARGEST_ANSWER,
                timeout=PATIENCE,
                allow_redirects=False,
            )
    except TimeoutError:
        still = " The job may be queued there all the same." if operation == "/run" else ""
        raise Unavailable(f"{place.base_url} takes too long to answer.{still}") from None
    except ClientSSLError:
        raise Refused(
            f"{place.base_url} can't be talked to by TLS: check whether its address begins with "
            "http:// or https://, and its certificate."
        ) from None
    except (ClientError, OSError, UnicodeError) as error:  # the last: of a host that none can have
        if web.forbidden(error):
            raise Refused(
                f"{place.base_url} leads to a private address: only whoever runs this playground "
                "may name such an endpoint, by ENDPOINT_URL."
            ) from None
        here = (
            "`make serve` starts an endpoint" if place.is_here else "check this machine's network"
        )
        raise Unavailable(
            f"Nothing answers at {place.base_url}: check the address, or {here}."
        ) from None
    try:
        # Half a surrogate pair, as of an emoji that was cut in two, is no text for a browser.
        whole = json.dumps(json.loads(answer.body), ensure_ascii=False).encode(errors="replace")
        told = json.loads(whole)
    except (ValueError, RecursionError):
        told = None
    if answer.status != 200:
        raise _refusal(place, operation, answer.status, told)
    if not isinstance(told, dict) or not isinstance(told.get(wanted), str):
        raise Refused(f"{place.url} answers, but not as an endpoint does: check its address.")
    return told


def _refusal(place: Place, operation: str, code: int, told: object) -> EndpointError:
    said = told.get("error") if isinstance(told, dict) else None
    reason = f" It says: {said[:LONGEST_REASON]}" if isinstance(said, str) and said else ""
    if code in (401, 403):
        wrong = (
            "refuses this API key: give one of" if place.key else "wants an API key: give one of"
        )
        return Refused(f"{place.base_url} {wrong} the account that owns {place.endpoint_id}.")
    if code == 404 and operation == "/run":
        return Refused(f"{place.base_url} has no endpoint {place.endpoint_id}: check the id.")
    if code == 404:
        return UnknownJob(
            "The endpoint doesn't know this job any more: results are kept for half an hour. If it "
            "has a bucket, the picture may still be there."
        )
    if code == 413:
        return Refused(
            "The request is too large for the endpoint: start from a smaller picture, or shorten "
            "the prompts."
        )
    if code == 429:
        return Unavailable(f"{place.base_url} gets too many requests at the moment.")
    if code >= 500:
        return Unavailable(f"{place.base_url} is out of order (HTTP {code}).{reason}")
    return Refused(f"{place.url} refuses with HTTP {code}: check the address.{reason}")
