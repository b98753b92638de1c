"""Pings the platform when the SDK's process for that has died."""

import asyncio
import logging
import multiprocessing
import threading

from runpod.serverless.modules import rp_ping
from runpod.serverless.modules.worker_state import JobsProgress, PingJobMirror

log = logging.getLogger(__name__)

NAME = "ping"
"""Of the SDK's process."""
LOOK = 1.0
"""Seconds between two looks at it."""


async def take_over() -> None:
    """Return when the SDK's process has died and a thread pings in its place; never where none is.

    The SDK starts it and doesn't look at it again. Without pings the platform takes the worker for
    dead. A thread, since a process that is forked from here would have the loop's signal handlers,
    and the locks of whatever runs meanwhile.
    """
    while not rp_ping.Heartbeat._process_started or _lives():
        await asyncio.sleep(LOOK)
    log.error("The process that pings the platform has ended; the worker pings from now on.")
    # A new one: the process may have died with the old one's lock.
    mirror = PingJobMirror()
    JobsProgress().set_mirror(mirror)
    ping = rp_ping.Heartbeat.process_loop
    threading.Thread(target=ping, args=(mirror,), name=NAME, daemon=True).start()


def _lives() -> bool:
    return any(child.name == NAME for child in multiprocessing.active_children())
