"""Keeps requests that go to a caller's URL away from addresses that only this machine can reach.

What is checked is the address that a connection is opened to, so neither a name that resolves to a
private address nor one that resolves differently the second time gets past it.
"""

import asyncio
import socket
from collections.abc import Callable
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address
from typing import Any

METADATA = frozenset(
    map(
        ip_address,
        (
            "100.100.100.200",  # Alibaba Cloud
            "168.63.129.16",  # Azure
            "192.0.0.192",  # Oracle Cloud
            "fd00:ec2::254",  # AWS
            "fd20:ce::254",  # Google Cloud
        ),
    )
)
"""Where clouds give a machine its credentials, beside the link-local 169.254.169.254."""
CARRIERS = tuple(
    IPv6Network(network)
    for network in ("::/96", "::ffff:0:0/96", "::ffff:0:0:0/96", "64:ff9b::/96", "64:ff9b:1::/48")
)
"""IPv6 addresses that stand for the IPv4 address of their last 32 bits, here or at a translator."""
GLOBAL_UNICAST = IPv6Network("2000::/3")
"""All that is assigned for the public: of the rest, Python's `is_global` knows a part alone.
https://www.iana.org/assignments/ipv6-address-space"""
LOOKUP_PATIENCE = 5.0
"""Seconds; glibc asks the next name server after as long."""


class ForbiddenAddress(OSError):
    """Callers may not send this worker there. The message doesn't repeat the address."""


def check(address: str, *, allow_private: bool) -> None:
    """Refuse an IP address that is no caller's business.

    Args:
        address: as `getaddrinfo` writes it.
        allow_private: whether private and loopback addresses are the caller's business here.

    Raises:
        ForbiddenAddress: it is link-local or a cloud's metadata service, or it is private.
    """
    meant = _meant(ip_address(address.partition("%")[0]))
    if meant.is_link_local or meant in METADATA:
        raise ForbiddenAddress("leads to a link-local or metadata address, which is never allowed")
    is_unicast = meant in GLOBAL_UNICAST if meant.version == 6 else not meant.is_multicast
    if not allow_private and not (meant.is_global and is_unicast):
        raise ForbiddenAddress(
            "leads to a private address, which is allowed only where the worker's operator has set "
            "ALLOW_PRIVATE_ADDRESSES=true"
        )


async def check_host(host: str, *, allow_private: bool) -> None:
    """Refuse a host that resolves to such an address; one that doesn't resolve passes.

    Raises:
        ForbiddenAddress: one of its addresses is none of the caller's business.
    """
    try:
        async with asyncio.timeout(LOOKUP_PATIENCE):
            found = await asyncio.get_running_loop().getaddrinfo(
                host, None, type=socket.SOCK_STREAM
            )
    except (OSError, UnicodeError):  # what is wrong with the name shows when it is connected to
        return
    for *_, sockaddr in found:
        check(str(sockaddr[0]), allow_private=allow_private)


def socket_factory(*, allow_private: bool) -> Callable[[tuple[Any, ...]], socket.socket]:
    """Return what makes an aiohttp connector's sockets, and refuses to where `check` does."""

    def make(info: tuple[Any, ...]) -> socket.socket:
        family, kind, protocol, _, sockaddr = info
        check(str(sockaddr[0]), allow_private=allow_private)
        return socket.socket(family, kind, protocol)

    return make


def _meant(ip: IPv4Address | IPv6Address) -> IPv4Address | IPv6Address:
    """Return the IPv4 address that an IPv6 address stands for, or itself."""
    if isinstance(ip, IPv4Address):
        return ip
    if inner := ip.sixtofour or (ip.teredo and ip.teredo[1]):
        return inner
    is_carried = any(ip in network for network in CARRIERS)
    return IPv4Address(int(ip) & 0xFFFF_FFFF) if is_carried else ip
