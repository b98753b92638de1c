"""Where jobs go: an endpoint, and the key that it wants."""

import re
from dataclasses import dataclass, field
from ipaddress import ip_address
from urllib.parse import urlsplit

RUNPOD = "https://api.runpod.ai/v2"
"""Where Runpod's own clients find endpoints unless they are told otherwise."""
OPERATIONS = re.compile(r"/(run|runsync|health|status|status-sync|stream|cancel|retry)(/.*)?$")


@dataclass(frozen=True)
class Place:
    """One endpoint."""

    base_url: str
    """Without the id, and without a slash at its end: `https://api.runpod.ai/v2`."""
    endpoint_id: str
    key: str = field(default="", repr=False)
    """The API key. It goes to this endpoint and nowhere else."""
    allow_private: bool = True
    """Whether it may be at a private address: not one that a stranger has typed."""

    @property
    def url(self) -> str:
        """What the operations' names are appended to."""
        return f"{self.base_url}/{self.endpoint_id}"

    @property
    def host(self) -> str:
        """The host's name or address."""
        return urlsplit(self.base_url).hostname or ""

    @property
    def is_here(self) -> bool:
        """Whether it is on this machine, where nothing outlives a restart."""
        return is_loopback(self.host)

    def fault(self) -> str | None:
        """Say what is wrong with it, in a sentence, or return None."""
        try:
            parts = urlsplit(self.base_url)
            is_web = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
        except ValueError:
            is_web = False
        if not is_web:
            return f"The base URL must begin with http:// or https://, such as {RUNPOD}."
        if parts.username or parts.password or parts.query or parts.fragment:
            return "Leave user, password and query out of the base URL: the key has its own field."
        if not re.fullmatch(r"[A-Za-z0-9_-]{1,100}", self.endpoint_id):
            return "The endpoint's id is letters, digits and hyphens, as its page at Runpod shows."
        if not re.fullmatch(r"[\x21-\x7e]*", self.key):
            return "The API key has a character that no key has: copy it again."
        return None


def is_loopback(host: str) -> bool:
    """Whether a host is reached from this machine alone."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def read(url: str) -> Place:
    """Take an endpoint's URL apart, whether or not it ends with an operation.

    Raises:
        ValueError: it is none; a sentence says why.
    """
    base_url, _, endpoint_id = OPERATIONS.sub("", url.strip()).rstrip("/").rpartition("/")
    place = Place(base_url, endpoint_id)
    if fault := place.fault():
        raise ValueError(f"{url.strip()} is no endpoint's URL, such as {RUNPOD}/abc123. {fault}")
    return place
