"""Who is answered: programs and web pages of this machine, and clients that have the key.

A browser lets every page that is open in it send requests to loopback. The page's own address comes
along as `Origin`; under a host name that was made to lead to loopback, so does that name as `Host`.
"""

import re
import secrets

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from local_platform.api.answers import Json

_HOST = r"(?:(?:[a-z0-9-]+\.)*localhost|127(?:\.\d{1,3}){3}|\[::1\])(?::\d{1,5})?"
HERE = re.compile(rf"(?ia){_HOST}")
"""A `Host` that no name server has a say in."""
PAGES = rf"(?ia)https?://{_HOST}"
"""The `Origin` of a web page that this machine serves, by whatever port."""
WORKERS = "/worker/"
FRONT = "/"


class ThisMachine:
    """Refuses pages from elsewhere, any page where workers ask, and names but loopback's."""

    def __init__(self, app: ASGIApp) -> None:
        self._app, self._page = app, re.compile(PAGES)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, or answer 403."""
        error = self._error(scope) if scope["type"] == "http" else None
        if error:
            return await Json({"error": error}, status_code=403)(scope, receive, send)
        return await self._app(scope, receive, send)

    def _error(self, scope: Scope) -> str | None:
        headers = Headers(scope=scope)
        hosts, origins = headers.getlist("Host"), headers.getlist("Origin")
        if len(hosts) != 1 or not HERE.fullmatch(hosts[0]):
            return "This server answers under 127.0.0.1 and localhost only."
        if origins and scope["path"].startswith(WORKERS):
            return "Workers ask this; no web page may."
        if not all(map(self._page.fullmatch, origins)):
            return "Only web pages that are served by this machine may ask: from localhost."
        return None


class ApiKey:
    """Refuses clients without the key; workers have keys of their own, and the front page none."""

    def __init__(self, app: ASGIApp, api_key: str) -> None:
        self._app, self._wanted = app, f"Bearer {api_key}".encode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, or answer 401."""
        if scope["type"] == "http" and not self._open(scope):
            given = Headers(scope=scope).get("Authorization", "").encode("latin-1")
            if not secrets.compare_digest(given, self._wanted):
                answer = Json({"error": "The API key is wrong."}, status_code=401)
                return await answer(scope, receive, send)
        return await self._app(scope, receive, send)

    def _open(self, scope: Scope) -> bool:
        method, path = str(scope["method"]), str(scope["path"])
        return method == "OPTIONS" or path.startswith(WORKERS) or path == FRONT
