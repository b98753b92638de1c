"""An endpoint that answers what a test tells it to, and remembers what it was asked."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from loopback import Incoming, serving

from playground.places import Place

Answer = tuple[int, Any]
"""The HTTP status, and the body: JSON, or bytes as they are."""
QUEUED: Answer = (200, {"id": "job-1", "status": "IN_QUEUE"})


@dataclass
class Endpoint:
    """What it answers next, by operation; the last answer stays."""

    answers: dict[str, list[Answer]]
    key: str | None = None
    """What clients must send, if anything."""
    url: str = ""
    asked: list[tuple[str, Any, str | None]] = field(default_factory=list)
    """Operation, body and Authorization of each request."""

    def place(self, key: str = "") -> Place:
        return Place(f"{self.url}/v2", "abc", key)

    def handle(self, request: Incoming) -> None:
        operation = request.path.split("/")[3]
        body = request.body()
        asked = json.loads(body) if body else None
        authorization = request.headers.get("Authorization")
        self.asked.append((operation, asked, authorization))
        if self.key and authorization != f"Bearer {self.key}":
            return request.answer(401)
        waiting = self.answers.get(operation) or [(404, {"error": "no such thing"})]
        status, answer = waiting.pop(0) if len(waiting) > 1 else waiting[0]
        data = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
        return request.answer(status, data, {"Content-Type": "application/json"})


@contextmanager
def scripted(key: str | None = None, **answers: list[Answer] | Answer) -> Iterator[Endpoint]:
    """Serve an endpoint; `/run` queues job-1 unless it is told otherwise."""
    listed = {name: each if isinstance(each, list) else [each] for name, each in answers.items()}
    endpoint = Endpoint({"run": [QUEUED], **listed}, key)
    with serving(endpoint.handle) as endpoint.url:
        yield endpoint


def report(status: str, **more: Any) -> Answer:
    """What `/status` answers of job-1."""
    return 200, {"id": "job-1", "status": status, **more}
