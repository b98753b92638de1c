"""A Chromium driven through Playwright, whose pages tell what they asked for and what failed."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from installed_chromium import executable
from playwright.sync_api import Browser, BrowserContext, Page, sync_playwright

HERE = ("127.0.0.1", "localhost")
# Neither a page nor the browser itself reaches anything else, even by its number.
OFFLINE = "--host-resolver-rules=MAP * ~NOTFOUND, " + ", ".join(f"EXCLUDE {host}" for host in HERE)


@contextmanager
def started() -> Iterator[Browser]:
    """Start Chromium. Until it ends, no `asyncio.run` is possible on this thread."""
    path = executable()
    with (
        sync_playwright() as playwright,
        playwright.chromium.launch(executable_path=path, args=[OFFLINE]) as browser,
    ):
        yield browser


@dataclass
class WatchedPage:
    """A page, with what it did since it was opened."""

    page: Page
    requests: list[str] = field(default_factory=list)
    """The URL of each request and web socket: of its frames, workers and popups, too."""
    errors: list[str] = field(default_factory=list)
    """What was logged as an error, and what was thrown and not caught."""

    @property
    def elsewhere(self) -> list[str]:
        """The requests that would have left the machine."""
        return [url for url in self.requests if urlsplit(url).hostname not in (*HERE, None)]


@contextmanager
def watched_page(browser: Browser, **options: Any) -> Iterator[WatchedPage]:
    """Open a page with storage of its own.

    Args:
        browser: that of `started`.
        options: `Browser.new_context`'s, such as `viewport={"width": 390, "height": 800}`,
            `color_scheme="dark"`, `permissions=["clipboard-read", "clipboard-write"]`,
            without which not every Chromium lets a page copy.
    """
    with browser.new_context(**options) as context:
        watched = WatchedPage(context.new_page())
        _watch(context, watched)
        yield watched


def _watch(context: BrowserContext, watched: WatchedPage) -> None:
    def watch_sockets(page: Page) -> None:
        page.on("websocket", lambda socket: watched.requests.append(socket.url))

    def note(message: Any) -> None:
        if message.type == "error":
            watched.errors.append(message.text)

    watch_sockets(watched.page)
    context.on("page", watch_sockets)
    context.on("request", lambda request: watched.requests.append(request.url))
    context.on("console", note)
    context.on("weberror", lambda event: watched.errors.append(str(event.error)))
