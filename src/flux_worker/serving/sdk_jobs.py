"""Which jobs the worker has, from the take to the end, and which of them must stop."""

import asyncio
import logging
import math
from collections import OrderedDict
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

from flux_worker.serving.names import LONGEST_ID, plain

log = logging.getLogger(__name__)

REFUSAL = "refusal"
"""Beside a job's `id`, in place of its `input`: the sentence that answers it."""
ODD_ID = "The job came with an id that the worker can't use, so it was not run: send the job again."
READ = ("id", "input", "s3Config")
"""What is read of a job. The SDK makes attributes of all keys, and breaks on some names."""

EARLY = 1.0
"""Seconds that a stop may be ahead of its job: both are on their way, on two connections."""
REMEMBERED = 1000
"""Jobs whose end is remembered."""


def sound(given: object) -> dict[str, Any] | None:
    """Return a job that the SDK can run and post, or None where nobody can be answered.

    What the SDK does with another one ends its loop, or every request after it: it subscripts the
    job, hashes the id and puts it into a header of all requests, and into an address.
    """
    if not isinstance(given, dict):
        return None
    job_id = given.get("id")
    if plain(job_id, LONGEST_ID):
        batch = {"batchId": given["batchId"]} if plain(given.get("batchId"), LONGEST_ID) else {}
        return {**{key: given[key] for key in READ if key in given}, **batch}
    if isinstance(job_id, bool) or not isinstance(job_id, str | int | float):
        return None
    # Dots alone would be a way through the address, and a long header is refused every time.
    if not str(job_id).strip(".") or len(str(job_id)) > LONGEST_ID:
        return None
    return {"id": quote(str(job_id), safe="", errors="replace"), REFUSAL: ODD_ID}


@dataclass
class Run:
    """One run of a job."""

    answered_at: float | None = None
    """When the handler was done with it; its answer may still be on its way."""
    stopped: bool = False
    ended: asyncio.Event = field(default_factory=asyncio.Event)


class Jobs:
    """The runs that are here now, by the id of their job."""

    def __init__(self) -> None:
        """Begin with none."""
        self._here: dict[str, Run] = {}
        self._ended = OrderedDict[str, None]()
        self._early_stops = OrderedDict[str, float]()

    async def take(self, given: object) -> dict[str, Any] | None:
        """Return a delivered job if it is to be run, to be begun at once; the log has the others.

        A job that is here already is answered by its run. Where that one has been stopped, nobody
        would, so the new run waits until it has ended.
        """
        if (job := sound(given)) is None:
            log.error("The platform delivered a job whose id can't be answered; it is dropped.")
            return None
        job_id: str = job["id"]
        if run := self._here.get(job_id):
            if not run.stopped:
                log.warning("Job %s was delivered twice; it runs once.", job_id)
                return None
            await run.ended.wait()
        early = _now() - self._early_stops.pop(job_id, -math.inf) < EARLY
        self._ended.pop(job_id, None)
        self._here[job_id] = Run()
        if early:
            log.info("Job %s was stopped before it came.", job_id)
            self.end(job_id)
            return None
        return job

    def answer(self, job_id: str) -> None:
        """Note that the handler is done with a job."""
        self._here[job_id].answered_at = _now()

    def since_answer(self, job_id: str) -> float:
        """Say how many seconds ago that was; infinite where it has yet to come."""
        at = self._here[job_id].answered_at
        return math.inf if at is None else _now() - at

    def unanswered(self) -> bool:
        """Say whether there is a job that the handler isn't done with, be it not begun."""
        return any(run.answered_at is None for run in self._here.values())

    def end(self, job_id: str) -> None:
        """Note that a job's run has ended."""
        self._here.pop(job_id).ended.set()
        self._ended[job_id] = None
        if len(self._ended) > REMEMBERED:
            self._ended.popitem(last=False)

    def stop(self, job_id: str) -> bool:
        """Note a stop, and say whether a job that is here must be cancelled for it.

        A stop names a job and not one of its runs. Where the job is here, its run is meant. Where
        its last run here has ended, that one was meant: a stop that hits nothing costs seconds of
        the GPU, one that hits the job's retry loses that. Otherwise the job may be on its way.
        """
        if run := self._here.get(job_id):
            # Cancelled a second time, a task would not come to its own end.
            cancel, run.stopped = not run.stopped, True
            return cancel
        now = _now()
        while self._early_stops and now - next(iter(self._early_stops.values())) >= EARLY:
            self._early_stops.popitem(last=False)
        if job_id not in self._ended:
            self._early_stops[job_id] = now
            self._early_stops.move_to_end(job_id)
        return False


def _now() -> float:
    return asyncio.get_running_loop().time()
