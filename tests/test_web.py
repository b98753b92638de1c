import asyncio
from contextlib import suppress

import loopback
import pytest
from aiohttp import ClientConnectorError

from flux_worker import web
from flux_worker.guard import ForbiddenAddress


def ask(url, method="GET", data=b"", **session):
    async def asking():
        async with web.session(**session) as to:
            return await web.ask(to, method, url, {"X-Own": "1"}, data)

    return asyncio.run(asking())


def test_a_request_arrives_as_it_was_asked():
    seen = []

    def take(request):
        seen.append((request.command, request.path, request.headers["X-Own"], request.body()))
        request.answer(201, b"done", {"ETag": "x"})

    with loopback.serving(take) as url:
        answer = ask(f"{url}/a%20b/%2e%2e/c?d=%2F", "PUT", b"data")
    assert seen == [("PUT", "/a%20b/%2e%2e/c?d=%2F", "1", b"data")]
    assert (answer.status, answer.headers["ETag"], answer.body) == (201, "x", b"done")


def test_no_more_of_an_answer_is_read_than_is_worth_reading():
    sent = []

    def flood(request):
        request.send_response(200)
        request.end_headers()
        with suppress(OSError):
            while True:
                request.wfile.write(bytes(1 << 20))
                sent.append(1)

    with loopback.serving(flood) as url:
        assert len(ask(url).body) == web.ANSWER_LIMIT
    assert len(sent) < 64


def test_nothing_is_unpacked():
    packed = b"\x1f\x8b not even gzip"
    reply = {"Content-Encoding": "gzip"}
    with loopback.serving(lambda request: request.answer(200, packed, reply)) as url:
        assert ask(url).body == packed


@pytest.mark.parametrize("scheme", ["http://", ""])
def test_the_environments_proxy_is_used_except_where_it_says_so(monkeypatch, scheme):
    seen = []

    def note(request):
        seen.append(request.path)
        request.answer(200)

    with loopback.serving(note) as proxy:
        monkeypatch.setenv("HTTP_PROXY", scheme + proxy.removeprefix("http://"))
        ask("http://nowhere.invalid/x")
        ask(f"{proxy}/y")  # NO_PROXY names 127.0.0.1
    assert seen == ["http://nowhere.invalid/x", "/y"]


def test_the_proxys_own_address_is_not_the_callers(monkeypatch):
    with loopback.serving(lambda request: request.answer(200)) as proxy:
        monkeypatch.setenv("HTTP_PROXY", proxy)
        assert ask("http://nowhere.invalid", callers_url="http://nowhere.invalid").status == 200
        with pytest.raises(ClientConnectorError) as refusal:
            ask(proxy, callers_url=proxy)
    assert isinstance(refusal.value.os_error, ForbiddenAddress)


def test_no_connection_is_used_twice():
    """What a server sends after its answer would otherwise break the session's end."""
    ports = set()

    def note(request):
        ports.add(request.client_address[1])
        request.answer(200)

    async def twice():
        async with web.session() as to:
            for _ in range(2):
                await web.ask(to, "GET", url)

    with loopback.serving(note) as url:
        asyncio.run(twice())
    assert len(ports) == 2
