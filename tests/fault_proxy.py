"""A proxy that hands requests on, but for those that a test wants to go wrong."""

import http.client
from collections.abc import Callable
from urllib.parse import urlsplit

import loopback

HOP_BY_HOP = ("content-length", "transfer-encoding", "connection")
DROP = 0
"""An answer that is none: the connection is closed."""
Fault = Callable[[str, str, bytes], int | None]
"""Method, path and body of a request to the status it is answered with; None hands it on."""


class FaultProxy:
    """Stands before a server on loopback, for a `with` block."""

    def __init__(self, target: str = "") -> None:
        self.target = target
        self.fault: Fault = lambda method, path, body: None
        self.faults = 0
        self._serving = loopback.serving(self._handle)

    def __enter__(self) -> "FaultProxy":
        self.url = self._serving.__enter__()
        return self

    def __exit__(self, *_: object) -> None:
        self._serving.__exit__(None, None, None)

    def _handle(self, request: loopback.Incoming) -> None:
        body = request.body()
        status = self.fault(request.command, request.path, body)
        if status is None:
            return self._hand_on(request, body)
        self.faults += 1
        return request.drop() if status == DROP else request.answer(status)

    def _hand_on(self, request: loopback.Incoming, body: bytes) -> None:
        server = http.client.HTTPConnection(urlsplit(self.target).netloc, timeout=120)
        try:
            # The headers as they are: what is signed must arrive as it was signed.
            server.request(request.command, request.path, body, dict(request.headers))
            response = server.getresponse()
            headers = response.headers.items()
            kept = {name: value for name, value in headers if name.lower() not in HOP_BY_HOP}
            request.answer(response.status, response.read(), kept)
        except (OSError, http.client.HTTPException):
            request.drop()
        finally:
            server.close()

    def fail(self, *statuses: int, when: Callable[[str, str, bytes], bool]) -> None:
        """Answer the next requests of that kind with these statuses, then hand on again."""
        left = list(statuses)
        self.faults = 0
        self.fault = lambda *request: left.pop(0) if left and when(*request) else None
