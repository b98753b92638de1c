import asyncio
import socket

import aiohttp
import loopback
import pytest

from flux_worker import guard
from flux_worker.guard import ForbiddenAddress

PRIVATE = [
    "127.0.0.1",
    "10.1.2.3",
    "192.168.0.1",
    "100.64.0.1",
    "0.0.0.0",
    "224.0.0.1",
    "::1",
    "::",
    "fd12::1",
    "ff02::1",
    "::ffff:10.0.0.1",
    "64:ff9b::7f00:1",
    "2002:7f00:1::",
    "::127.0.0.1",
    "::ffff:0:127.0.0.1",
    "64:ff9b:1::10.0.0.1",
    "fec0::1",
    "4000::1",
]
NEVER = [
    "169.254.169.254",
    "169.254.170.2",
    "100.100.100.200",
    "168.63.129.16",
    "fd00:ec2::254",
    "fd20:ce::254",
    "fe80::1%eth0",
    "::ffff:169.254.169.254",
    "64:ff9b::a9fe:a9fe",
    "64:ff9b:1::a9fe:a9fe",
    "::ffff:0:169.254.169.254",
    "2002:a9fe:a9fe::",
]


@pytest.mark.parametrize("address", PRIVATE)
def test_private_addresses_are_the_operators_to_allow(address):
    with pytest.raises(ForbiddenAddress, match="ALLOW_PRIVATE_ADDRESSES=true") as refusal:
        guard.check(address, allow_private=False)
    assert address not in str(refusal.value)
    guard.check(address, allow_private=True)


@pytest.mark.parametrize("address", NEVER)
def test_metadata_is_nobodys_to_allow(address):
    with pytest.raises(ForbiddenAddress, match="never allowed"):
        guard.check(address, allow_private=True)


@pytest.mark.parametrize("address", ["1.1.1.1", "2606:4700::1111", "::ffff:1.1.1.1"])
def test_public_addresses_pass(address):
    guard.check(address, allow_private=False)


@pytest.mark.parametrize(
    "host", ["localhost", "127.0.0.1", "2130706433", "0x7f.1", "0177.0.0.1", "127。0。0。1", "::1"]
)
def test_a_host_is_judged_by_what_it_resolves_to(host):
    with pytest.raises(ForbiddenAddress):
        asyncio.run(guard.check_host(host, allow_private=False))
    asyncio.run(guard.check_host(host, allow_private=True))


def test_a_host_that_does_not_resolve_is_nothing_to_refuse():
    asyncio.run(guard.check_host("nowhere.invalid", allow_private=False))


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_no_connection_is_opened_where_callers_have_no_business(host):
    arrived = []

    def take(request):
        arrived.append(request.path)
        request.answer(200)

    async def ask(url, allow_private):
        sockets = guard.socket_factory(allow_private=allow_private)
        connector = aiohttp.TCPConnector(socket_factory=sockets, family=socket.AF_INET)
        async with aiohttp.ClientSession(connector=connector) as session, session.get(url):
            pass

    with loopback.serving(take) as url:
        theirs = url.replace("127.0.0.1", host)
        with pytest.raises(aiohttp.ClientConnectorError) as refusal:
            asyncio.run(ask(theirs, allow_private=False))
        assert isinstance(refusal.value.os_error, ForbiddenAddress)
        assert arrived == []
        asyncio.run(ask(theirs, allow_private=True))
    assert arrived == ["/"]
