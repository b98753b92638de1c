"""What clients and workers are answered."""

from typing import Any

from starlette.responses import JSONResponse

from local_platform.queue import bodies


class Json(JSONResponse):
    """An answer in JSON."""

    def render(self, content: Any) -> bytes:
        """Write the body."""
        return bodies.render(content)


class Refused(Exception):
    """A request that is answered with an error; `status` is the HTTP status."""

    def __init__(self, status: int, error: str) -> None:
        super().__init__(error)
        self.status = status
