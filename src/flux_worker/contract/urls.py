"""URLs that callers and operators name."""

import re
from dataclasses import dataclass
from urllib.parse import SplitResult, urlsplit


@dataclass(frozen=True)
class Url:
    """A file on the web."""

    url: str


def split(text: str) -> SplitResult | None:
    """Split a URL of HTTP, with or without TLS, or return None where it is none."""
    try:
        parts = urlsplit(text)
        is_url = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
    except ValueError:
        return None
    return parts if is_url and re.fullmatch(r"[!-~]+", text) else None


def of_file(text: str, form: str) -> tuple[Url, SplitResult]:
    """Return a file's https URL, without its fragment, and the parts of it.

    Args:
        text: as the caller wrote it.
        form: what is said of a text that is no such URL.

    Raises:
        ValueError: it is none, or holds a password; the message is the end of a sentence.
    """
    parts = split(text)
    if parts is None or parts.scheme != "https":
        raise ValueError(form)
    if parts.username or parts.password:
        raise ValueError("must be a URL without a user name and a password")
    return Url(text.partition("#")[0]), parts
