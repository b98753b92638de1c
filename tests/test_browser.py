"""The browser that tests drive: it does what a visitor does, and what a page asks for is seen."""

import socket
from contextlib import contextmanager

import pytest
from browser import watched_page
from loopback import serving
from playwright.sync_api import expect

PAGE = """
<!doctype html>
<title>A page</title>
<button onclick="document.querySelector('output').textContent = 'clicked'">click</button>
<output></output>
"""
COPY = '<button onclick="navigator.clipboard.writeText(this.textContent)">copy this</button>'


@pytest.fixture
def opened(browser):
    """Serve a page with this in it, and open it."""

    @contextmanager
    def open_page(content="", **options):
        body = (PAGE + content).encode()
        page_type = {"Content-Type": "text/html; charset=utf-8"}
        with (
            serving(lambda request: request.answer(200, body, page_type)) as url,
            watched_page(browser, **options) as watched,
        ):
            watched.page.goto(url)
            yield watched

    return open_page


def wait_for(happened, page):
    """Playwright hears of what happens only while it is asked for something."""
    for _ in range(500):
        if happened():
            return
        page.wait_for_timeout(10)


def test_a_click_and_a_clean_page(opened):
    with opened() as watched:
        watched.page.get_by_text("click").click()
        expect(watched.page.locator("output")).to_have_text("clicked")
        assert watched.requests
        assert (watched.elsewhere, watched.errors) == ([], [])


def test_the_clipboard_is_read(opened):
    with opened(COPY, permissions=["clipboard-read", "clipboard-write"]) as watched:
        watched.page.get_by_text("copy this").click()
        assert watched.page.evaluate("navigator.clipboard.readText()") == "copy this"
        assert watched.errors == []


def test_a_narrow_and_dark_page(opened):
    with opened(viewport={"width": 390, "height": 800}, color_scheme="dark") as watched:
        assert watched.page.evaluate("innerWidth") == 390
        assert watched.page.evaluate("matchMedia('(prefers-color-scheme: dark)').matches")


@pytest.mark.parametrize(
    ("content", "asked"),
    [
        ('<img src="https://example.org/a.png">', "https://example.org/a.png"),
        ('<img src="http://192.0.2.1/a.png">', "http://192.0.2.1/a.png"),
        ("<style>@import 'https://example.org/a.css'</style>", "https://example.org/a.css"),
        ('<iframe src="https://example.org/"></iframe>', "https://example.org/"),
        ("<script>new WebSocket('wss://example.org/')</script>", "wss://example.org/"),
        ("<script>open('https://example.org/')</script>", "https://example.org/"),
        (
            "<script>new Worker(URL.createObjectURL(new Blob(["
            "\"fetch('https://example.org/').catch(() => {})\"])))</script>",
            "https://example.org/",
        ),
    ],
)
def test_what_a_page_asks_for_elsewhere_is_noticed(opened, content, asked):
    with opened(content) as watched:
        wait_for(lambda: watched.elsewhere, watched.page)
        assert watched.elsewhere == [asked]


def test_nothing_but_this_address_is_reached(opened):
    """Another of the machine's own stands for the rest of the world."""
    with socket.create_server(("127.0.0.2", 0)) as other:
        other.setblocking(False)
        with opened(f'<img src="http://127.0.0.2:{other.getsockname()[1]}/">') as watched:
            wait_for(lambda: watched.errors, watched.page)
            assert "ERR_NAME_NOT_RESOLVED" in watched.errors[0]
            with pytest.raises(BlockingIOError):
                other.accept()


@pytest.mark.parametrize("script", ["console.error('no luck')", "throw Error('no luck')"])
def test_a_pages_errors_are_noticed(opened, script):
    with opened(f"<script>{script}</script>") as watched:
        wait_for(lambda: watched.errors, watched.page)
        (error,) = watched.errors
        assert "no luck" in error
