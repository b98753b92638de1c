"""How the worker asks the platform for jobs and stops: patiently, and slower where it fails."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Any

from aiohttp import ClientResponseError, ClientSession
from runpod.serverless.modules import rp_job

from flux_worker.serving import sdk_bodies
from flux_worker.serving.names import LONGEST_ID, plain
from flux_worker.serving.sdk_pauses import Pauses

log = logging.getLogger(__name__)

PATIENCE = 90.0
"""Seconds, the SDK's own: the platform holds a poll open until it has something to say."""
HELD = 1.0
"""Seconds from which a poll counts as held open."""
FIRST_PAUSE = 0.1
LONGEST_IDLE = 1.0
"""Seconds after nothing. A job may come at any time, and the next poll may be held open."""
LONGEST_FAILING = 10.0
"""Seconds after a failure: what an idle worker may be late when the platform is back."""

NOTHING = (204, 400)
"""No job; 400 is usual under FlashBoot."""


class Poll:
    """Asks for one kind of thing again and again.

    The SDK asks again at once, however it was answered: thousands of times a second where the
    platform answers at once, and with a line in the log for each failure.
    """

    def __init__(self, kind: str, shutdown: asyncio.Event) -> None:
        """Ask for this kind of thing; the shutdown ends a pause at once."""
        self._kind = kind
        self._idle = Pauses(FIRST_PAUSE, LONGEST_IDLE, shutdown)
        self._failing = Pauses(FIRST_PAUSE, LONGEST_FAILING, shutdown)
        self.seconds = 0.0
        """How long the last one was open."""
        self._failed = False

    async def ask(self, fetch: Callable[[], Awaitable[list[Any]]]) -> list[Any]:
        """Return what comes; nothing where that fails, which is said once, as is its end."""
        clock = asyncio.get_running_loop().time
        begin, failure, answer = clock(), "", list[Any]()
        try:
            async with asyncio.timeout(PATIENCE) as patience:
                answer = await fetch()
        except Exception as error:
            status = f" {error.status}" if isinstance(error, ClientResponseError) else ""
            # What was held until the patience ended brought nothing, but did not fail.
            failure = "" if patience.expired() else type(error).__name__ + status
        self.seconds = clock() - begin
        if failure and not self._failed:
            log.warning("Asking the platform for %s fails (%s).", self._kind, failure)
        elif self._failed and not failure:
            log.warning("Asking the platform for %s works again.", self._kind)
        self._failed = bool(failure)
        return answer

    async def rest(self, useful: bool) -> None:
        """Pause, unless what came was useful or the platform held the poll open."""
        if self._failed:
            await self._failing.wait()
            return
        self._failing.reset()
        if useful or self.seconds >= HELD:
            self._idle.reset()
        else:
            await self._idle.wait()


async def take_jobs(session: ClientSession) -> list[Any]:
    """Take a job, whatever it looks like.

    The SDK raises for a job that lacks a field, so that nobody can answer it.

    Raises:
        Exception: the platform refused, is away, or answered something else than JSON.
    """
    body = await _get(session, rp_job._job_get_url())
    if body is None:
        return []
    return body if isinstance(body, list) else [body]


async def hear_stops(session: ClientSession) -> list[str]:
    """Return the ids of jobs to stop.

    Raises:
        Exception: the platform refused, is away, or answered something else than a list of ids.
    """
    body = await _get(session, rp_job._job_stop_url())
    stops = (body or {}).get("jobsToStop") or []
    if not isinstance(stops, list):
        raise TypeError("jobsToStop is no list.")
    return [each for each in stops if plain(each, LONGEST_ID)]


async def _get(session: ClientSession, url: str) -> Any:
    """Return what is answered, None where that is nothing."""
    async with session.get(url) as response:
        if response.status in NOTHING:
            return None
        response.raise_for_status()
        return await sdk_bodies.read(response)
