"""What the worker posts to the platform: results until they are taken, progress in order."""

import asyncio
import json
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from aiohttp import ClientError, ClientResponseError, ClientSession, ClientTimeout
from runpod.http_client import AsyncClientSession
from runpod.serverless.modules import rp_http

from flux_worker.serving.progress import Channel, Post

log = logging.getLogger(__name__)

POST_ATTEMPTS = 8
POST_PATIENCE = 60.0
"""Seconds for one attempt: the largest answer has 10 MB."""
LONGEST_PAUSE = 30.0
"""Seconds. With the pauses doubling from one second, the last attempt comes after a minute and a
half: longer than a platform's restart, shorter than anybody's patience."""
PROGRESS_PATIENCE = 3.0
"""Seconds for one update. A result waits for the update before it, so it is short."""
AS_THE_SDK_POSTS = {"charset": "utf-8", "Content-Type": "application/x-www-form-urlencoded"}


async def post_result(session: ClientSession, url: str, body: str) -> None:
    """Post a job's result until the platform takes it.

    The SDK retries a 5xx three times within seven seconds and gives up on a dropped connection or a
    429 at once: the result is lost and the job stays IN_PROGRESS (runpod-python issue 309).

    Raises:
        ClientError: the platform refused it for good, or never took it.
    """
    pause = 1.0
    for attempt in range(1, POST_ATTEMPTS + 1):
        try:
            async with session.post(
                url,
                data=body,
                headers=AS_THE_SDK_POSTS,
                timeout=ClientTimeout(total=POST_PATIENCE),
                raise_for_status=True,
            ) as response:
                await response.read()
                return
        except (ClientError, TimeoutError) as error:
            if attempt == POST_ATTEMPTS or _final(error):
                raise
            log.warning("The platform did not take a result; trying again in %.0f s.", pause)
            await asyncio.sleep(pause)
            pause = min(2 * pause, LONGEST_PAUSE)


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
            patience = ClientTimeout(total=PROGRESS_PATIENCE)
            async with session.post(
                url, data=body, headers=AS_THE_SDK_POSTS, timeout=patience
            ) as response:
                await response.read()

        yield post


def _final(error: Exception) -> bool:
    if not isinstance(error, ClientResponseError):
        return False
    return error.status < 500 and error.status not in (408, 429)
