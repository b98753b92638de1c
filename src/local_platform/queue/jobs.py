"""A job, from the client's request to the answer, and how the platform reports it.

Bodies and states: https://docs.runpod.io/serverless/endpoints/operations.
"""

import time
import uuid
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any


class Status(StrEnum):
    """The states that clients see."""

    IN_QUEUE = "IN_QUEUE"
    IN_PROGRESS = "IN_PROGRESS"
    COMPLETED = "COMPLETED"
    FAILED = "FAILED"
    CANCELLED = "CANCELLED"
    TIMED_OUT = "TIMED_OUT"


FINAL = frozenset({Status.COMPLETED, Status.FAILED, Status.CANCELLED, Status.TIMED_OUT})
RETRIABLE = frozenset({Status.FAILED, Status.TIMED_OUT})

EXECUTION_TIMEOUT = 600.0
TTL = 24 * 3600.0
"""Seconds, unless a job's policy says otherwise, by
https://docs.runpod.io/serverless/endpoints/endpoint-configurations."""
FOREVER = 1e15
"""Milliseconds that are more than anybody waits: an integer can be too large for a float."""
KEPT_ASYNC = 30 * 60.0
KEPT_SYNC = 60.0
"""Seconds that a result can be asked for, after `/run` and after `/runsync`."""


@dataclass(eq=False)
class Job:
    """One job. Times are seconds of the monotonic clock."""

    request: dict[str, Any] = field(repr=False)
    """The client's body: `input`, `s3Config`, and what is the platform's own. Nothing of it belongs
    in a log."""
    sync: bool
    id: str = field(default_factory=lambda: str(uuid.uuid4()))
    status: Status = Status.IN_QUEUE
    created: float = field(default_factory=time.monotonic)
    started: float | None = None
    finished: float | None = None
    worker_id: str | None = None
    output: Any = field(default=None, repr=False)
    error: str | None = field(default=None, repr=False)
    lost_workers: int = 0
    stream: list[Any] = field(default_factory=list, repr=False)
    """Partial outputs that no client has fetched yet."""

    def __post_init__(self) -> None:
        if self.sync:
            self.id = f"sync-{self.id}"

    @property
    def final(self) -> bool:
        """Whether the status can't change any more, but for a retry."""
        return self.status in FINAL

    def run_by(self, worker_id: str) -> bool:
        """Whether this worker has the job now: one that had it before has no say any more."""
        return self.status is Status.IN_PROGRESS and self.worker_id == worker_id

    @property
    def webhook(self) -> str | None:
        """Where the client wants the result posted."""
        url = self.request.get("webhook")
        return url if isinstance(url, str) and url else None

    @property
    def execution_timeout(self) -> float:
        """Seconds that the job may run."""
        return self._policy("executionTimeout", EXECUTION_TIMEOUT)

    @property
    def ttl(self) -> float:
        """Seconds that the job may live."""
        return self._policy("ttl", TTL)

    def _policy(self, name: str, default: float) -> float:
        policy = self.request.get("policy")
        value = policy.get(name) if isinstance(policy, dict) else None
        if isinstance(value, bool) or not isinstance(value, int | float) or value <= 0:
            return default
        return min(value, FOREVER) / 1000  # the client counts milliseconds

    def for_worker(self) -> dict[str, Any]:
        """Return the job as a worker receives it."""
        # Nothing else: the SDK gives up a whole batch for a key that it can't make an attribute of.
        known = ("input", "s3Config")
        return {"id": self.id} | {k: v for k, v in self.request.items() if k in known}

    def report(self) -> dict[str, Any]:
        """Return the body that tells a client how the job stands; times are in milliseconds."""
        body: dict[str, Any] = {"id": self.id, "status": self.status.value}
        if self.started is not None:
            body["delayTime"] = round((self.started - self.created) * 1000)
            body["workerId"] = self.worker_id
        if self.started is not None and self.finished is not None:
            body["executionTime"] = round((self.finished - self.started) * 1000)
        if self.output is not None:
            body["output"] = self.output
        if self.error is not None:
            body["error"] = self.error
        return body

    def for_webhook(self) -> dict[str, Any]:
        """Return the body that the webhook gets: the status, the job's input and the webhook."""
        asked = _without_buckets(self.request["input"])
        return {**self.report(), "input": asked, "webhook": self.webhook}

    def forgotten(self, now: float) -> bool:
        """Whether the result is no longer kept."""
        kept = KEPT_SYNC if self.sync else KEPT_ASYNC
        return self.finished is not None and now - self.finished > kept


def _without_buckets(value: Any) -> Any:
    """Return a job's input without any `s3Config` that was put inside by mistake."""
    if isinstance(value, dict):
        return {k: _without_buckets(v) for k, v in value.items() if k != "s3Config"}
    return [_without_buckets(each) for each in value] if isinstance(value, list) else value
