"""The endpoint's operations, with the patience that a cold start needs."""

import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any
from urllib.parse import quote

from builder.deploy import connection
from builder.deploy.errors import CannotDeploy, Unanswered
from builder.deploy.verify.report import Differs
from playground.places import Place

DONE = ("COMPLETED", "FAILED", "CANCELLED", "TIMED_OUT")
RUNSYNC_WAITS = 90
"""Seconds after which `/runsync` answers with the job's status at the latest."""
MARGIN = 30
"""Seconds that an answer may be late."""
LOOKS = 5
"""Times that a job's status is asked for until it counts as out of order."""
PAUSE = 3.0
"""Seconds between them."""
SAY_EVERY = 15
"""Seconds between two lines that tell of waiting."""

Body = dict[str, Any]


@dataclass(frozen=True)
class Endpoint:
    """Where requests go."""

    place: Place
    wait: float
    """Seconds for one job, a cold start included."""
    say: Callable[[str], None]
    """Takes what happens while nothing else does."""

    def health(self) -> Body:
        """Return how many jobs and workers there are."""
        return self._ask("GET", "/health", seconds=min(self.wait, MARGIN))

    def runsync(self, job_input: Mapping[str, Any]) -> Body:
        """Send a job by `/runsync`, and follow it where that answers before it is done."""
        ends = time.monotonic() + self.wait
        body = {"input": dict(job_input)}
        job = self._ask("POST", "/runsync", body, seconds=min(self.wait, RUNSYNC_WAITS + MARGIN))
        return self._follow(job, ends)

    def run(self, job_input: Mapping[str, Any]) -> Body:
        """Queue a job by `/run` and return what that answers."""
        return self._ask("POST", "/run", {"input": dict(job_input)}, seconds=min(self.wait, 60))

    def finished(self, job: Body) -> Body:
        """Follow a queued job until it is done."""
        return self._follow(job, time.monotonic() + self.wait)

    def cancel(self, job_id: str) -> Body:
        """Stop a job."""
        return self._ask(
            "POST", f"/cancel/{quote(job_id, safe='')}", seconds=min(self.wait, MARGIN)
        )

    def status(self, job_id: str) -> Body:
        """Return how a job stands."""
        return self._ask("GET", f"/status/{quote(job_id, safe='')}", seconds=min(self.wait, MARGIN))

    def _follow(self, job: Body, ends: float) -> Body:
        began, pause, said = time.monotonic(), 0.25, time.monotonic()
        while job.get("status") in ("IN_QUEUE", "IN_PROGRESS"):
            if time.monotonic() > ends:
                raise Unanswered(
                    f"expected the job within {self.wait:g} s (--wait), got {job['status']}"
                )
            if time.monotonic() - said > SAY_EVERY:
                said = time.monotonic()
                self.say(f"waiting: {job['status']} for {said - began:.0f} s")
            time.sleep(pause)
            pause = min(pause * 1.5, 3)
            job = self._looked(_id(job))
        return job

    def _looked(self, job_id: str) -> Body:
        """Ask how a job stands: a platform that restarts meanwhile has changed nothing about it."""
        for _ in range(LOOKS - 1):
            try:
                return self.status(job_id)
            except (Differs, Unanswered) as error:
                self.say(f"waiting: {error}")
                time.sleep(PAUSE)
        return self.status(job_id)

    def _ask(self, method: str, path: str, body: object = None, *, seconds: float) -> Body:
        """Return the JSON object that the endpoint answers; a failed job may come with HTTP 400."""
        url = self.place.url + path
        answer = connection.ask(
            method, url, connection.headers(url, self.place.key), body, seconds=seconds
        )
        if answer.status in (401, 403):
            raise CannotDeploy(
                f"{self.place.url} refuses the API key: set RUNPOD_API_KEY to one of the account "
                "that owns the endpoint."
            )
        try:
            told = json.loads(answer.body, parse_float=Decimal)
        except (ValueError, RecursionError):
            told = None
        if not isinstance(told, dict):
            raise Differs(f"JSON at {path}", f"HTTP {answer.status} with something else")
        if answer.status != 200 and told.get("status") != "FAILED":
            said = told.get("error") or told.get("detail") or ""
            raise Differs(f"HTTP 200 at {path}", f"HTTP {answer.status} {said}".rstrip())
        return told


def _id(job: Body) -> str:
    if not isinstance(job.get("id"), str):
        raise Differs("a job with an id", f"the keys {', '.join(map(str, job))}")
    return str(job["id"])
