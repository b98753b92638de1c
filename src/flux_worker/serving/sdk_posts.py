"""What the worker posts to the platform: results until they are taken, progress in order."""

import asyncio
import json
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from aiohttp import (
    ClientError,
    ClientHandlerType,
    ClientRequest,
    ClientResponse,
    ClientSession,
    ClientTimeout,
    InvalidURL,
)
from runpod.http_client import AsyncClientSession
from runpod.serverless.modules import rp_http

from flux_worker.serving.progress import Channel, Post
from flux_worker.serving.sdk_pauses import Pauses, bounded

log = logging.getLogger(__name__)

POST_PATIENCE = 60.0
"""Seconds for one attempt: the largest answer has 10 MB."""
LONGEST_PAUSE = 30.0
"""Seconds. The pauses double from one second."""
LAST_PATIENCE = 90.0
"""Seconds that a result has from the shutdown on: longer than a platform's restart."""
REFUSALS = 5
"""In a row until a 4xx is believed, after 15 seconds: a proxy or a gate says so, too, while what is
behind it starts. Otherwise the platform has forgotten the job, and nobody waits for the result."""
PASSING = (408, 425, 429)
"""Of the 4xx, those that ask for another attempt."""
MOVED = (307, 308)
"""Redirects that keep the post as it is; after the others it would be a GET, without the result."""
PROGRESS_PATIENCE = 3.0
"""Seconds for one update. A result waits for the update before it, so it is short."""
AS_THE_SDK_POSTS = {"charset": "utf-8", "Content-Type": "application/x-www-form-urlencoded"}


class NotTaken(ClientError):
    """The platform answered, but not that it took what was posted."""

    def __init__(self, status: int) -> None:
        super().__init__(f"status {status}")
        self.status = status


async def post_result(session: ClientSession, url: str, body: str, shutdown: asyncio.Event) -> None:
    """Post a job's result until the platform takes it; a stop of the job cancels that.

    The SDK retries a 5xx three times within seven seconds and gives up on a dropped connection or a
    429 at once: the result is lost and the job stays IN_PROGRESS (runpod-python issue 309).

    Raises:
        ClientError: the platform refused it for good, or never took it and the worker shuts down.
    """
    try:
        async with bounded(shutdown, LAST_PATIENCE):
            await _post_until_taken(session, url, body, Pauses(1.0, LONGEST_PAUSE, shutdown))
    except TimeoutError:
        raise ClientError("The platform took no result before the worker's end.") from None


async def _post_until_taken(session: ClientSession, url: str, body: str, pauses: Pauses) -> None:
    attempts = refusals = 0
    while True:
        attempts += 1
        try:
            await _post(session, url, body, POST_PATIENCE)
            break
        except (ClientError, TimeoutError) as error:
            status = error.status if isinstance(error, NotTaken) else 0
            if status == 413 and (smaller := _without_image(body)):
                log.error("The platform refused a result of %d bytes for its size.", len(body))
                body = smaller
                continue
            is_refused = 400 <= status < 500 and status not in PASSING
            # No attempt can succeed at an address that is none, unless a redirect led there.
            refusals = refusals + 1 if is_refused or isinstance(error, InvalidURL) else 0
            if refusals == REFUSALS:
                raise
            if attempts == 1:
                reason = status or type(error).__name__
                log.warning("The platform did not take a result (%s); trying again.", reason)
        await pauses.wait()
    if attempts > 1:
        log.warning("The platform took a result at attempt %d.", attempts)


async def _post(session: ClientSession, url: str, body: str, patience: float) -> None:
    """Post once; what is answered beside the status is of no use and isn't read.

    Raises:
        ClientError, TimeoutError: it was not taken.
    """
    async with session.post(
        url,
        # Half a surrogate pair, quoted from a request, becomes the JSON that it came as.
        data=body.encode(errors="backslashreplace"),
        headers=AS_THE_SDK_POSTS,
        timeout=ClientTimeout(total=patience),
        middlewares=[_taken],
    ):
        pass


async def _taken(request: ClientRequest, send: ClientHandlerType) -> ClientResponse:
    """Pass on an answer that takes the post, or says where to post it: nothing else does."""
    response = await send(request)
    is_moved = response.status in MOVED and response.headers.get("Location")
    if not is_moved and not 200 <= response.status < 300:
        response.close()
        raise NotTaken(response.status)
    return response


def _without_image(body: str) -> str | None:
    """Return the answer with a sentence in place of its image, or None where it holds none."""
    answer = json.loads(body)
    if answer.pop("output", None) is None or '"data:' not in body:
        return None
    error = (
        f"The image could not be uploaded, and the platform refused the answer that holds it for "
        f"its size, {len(body) / 1e6:.1f} MB: no cost is reported. Ask for a JPEG or a smaller "
        "image, or have a bucket that takes it."
    )
    return json.dumps({**answer, "error": error})


def channel() -> Channel | None:
    """Return the way to the platform for progress, or None where no platform started the worker."""
    return progress_channel if rp_http.JOB_DONE_URL != "JOB_DONE_URL" else None


@asynccontextmanager
async def progress_channel(job_id: str) -> AsyncIterator[Post]:
    """Post a job's progress over one connection, one update after the other.

    The SDK's progress_update opens a thread and a connection for each: they overtake each other and
    the result, after which the job stays IN_PROGRESS (runpod-python issue 250).
    """
    url = rp_http.JOB_DONE_URL.replace("$ID", job_id) + "&isStream=false"
    async with AsyncClientSession() as session:

        async def post(output: dict[str, Any]) -> None:
            body = json.dumps({"status": "IN_PROGRESS", "output": output})
            await _post(session, url, body, PROGRESS_PATIENCE)

        yield post
