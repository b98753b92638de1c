"""A proxy that hands requests on, but for those that a test wants to go wrong."""

import http.client
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

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
        proxy = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def handle_any(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                status = proxy.fault(self.command, self.path, body)
                if status is not None:
                    proxy.faults += 1
                if status is None:
                    self.hand_on(body)
                elif status == DROP:
                    self.close_connection = True
                else:
                    self.answer(status, {}, b"")

            def hand_on(self, body: bytes) -> None:
                server = http.client.HTTPConnection(urlsplit(proxy.target).netloc, timeout=120)
                try:
                    # The headers as they are: what is signed must arrive as it was signed.
                    server.request(self.command, self.path, body, dict(self.headers))
                    response = server.getresponse()
                    self.answer(response.status, dict(response.headers), response.read())
                except (OSError, http.client.HTTPException):
                    self.close_connection = True
                finally:
                    server.close()

            def answer(self, status: int, headers: dict[str, str], body: bytes) -> None:
                self.send_response(status)
                for name, value in headers.items():
                    if name.lower() not in ("content-length", "transfer-encoding", "connection"):
                        self.send_header(name, value)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                pass

        for method in ("GET", "POST", "PUT", "DELETE", "HEAD"):
            setattr(Handler, f"do_{method}", Handler.handle_any)
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> "FaultProxy":
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    def fail(self, *statuses: int, when: Callable[[str, str, bytes], bool]) -> None:
        """Answer the next requests of that kind with these statuses, then hand on again."""
        left = list(statuses)
        self.faults = 0
        self.fault = lambda *request: left.pop(0) if left and when(*request) else None
