"""The pictures that a request starts from: each is an https URL, or the file itself in a data: URL.

What is forgiven in a data: URL is what browsers forgive (https://fetch.spec.whatwg.org/#data-urls),
and beside it base64's other alphabet.
"""

import base64
import re
from dataclasses import dataclass, field
from typing import Annotated
from urllib.parse import unquote_to_bytes

from pydantic import BeforeValidator
from pydantic_core import PydanticCustomError

from flux_worker.contract import urls
from flux_worker.contract.urls import Url
from flux_worker.contract.values import HALF_PAIR, NO_UNICODE

MAX_URL_CHARACTERS = 8192
"""Presigned URLs with a session's token have two thousand and more."""
MAX_BYTES = 20 * 10**6
"""Of a picture's file."""
MEDIA_TYPES = ("image/png", "image/jpeg", "image/jpg", "image/webp")
INVALID = "Invalid image URL"
"""Runpod's own words, which clients may look for: they are in each refusal of a picture."""
FORM = "must be an https URL or a data: URL of a PNG, JPEG or WebP"
NO_PATH = "must be a URL, not a file's path: send the file as data:image/png;base64,…"
SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+):")
BASE64 = re.compile(r"iVBORw0KGgo|/9j/|UklGR|R0lGOD|[A-Za-z0-9+/_=-]{64}")
"""How PNG, JPEG, WebP and GIF begin in it, and other long texts of its letters alone."""
PATH = re.compile(r"[.~\\]|/(?!/)|[A-Za-z]:[\\/]|[^/\\]+\.(png|jpe?g|webp|gif)$", re.IGNORECASE)
BLANKS = b" \t\n\f\r"


@dataclass(frozen=True)
class DataUrl:
    """A file that the request itself holds."""

    data: bytes = field(repr=False)


def source(text: str) -> Url | DataUrl:
    """Return where a picture is.

    Raises:
        ValueError: nowhere; the message is the end of a sentence, and repeats nothing of it.
    """
    text = text.strip()
    if HALF_PAIR.search(text):
        raise ValueError(NO_UNICODE)
    scheme = SCHEME.match(text)
    match scheme and scheme[1].lower():
        case "data":
            return DataUrl(_data(text[len("data:") :]))
        case "https":
            if len(text) > MAX_URL_CHARACTERS:
                raise ValueError(
                    f"must be at most {MAX_URL_CHARACTERS} characters, as an https URL"
                )
            return urls.of_file(text, FORM)[0]
        case "http":
            raise ValueError("must be an https URL: nothing is fetched over http")
        case "file":
            raise ValueError(NO_PATH)
    if BASE64.match(text):
        raise ValueError("must be a data: URL: put data:image/png;base64, before the base64")
    raise ValueError(NO_PATH if PATH.match(text) else FORM)


def _data(rest: str) -> bytes:
    head, comma, body = rest.partition("#")[0].partition(",")
    media_type, *parameters = (part.strip().lower() for part in head.split(";"))
    if not comma or media_type not in MEDIA_TYPES:
        raise ValueError(
            "must be a data: URL that begins as data:image/png;base64, does, or with "
            "image/jpeg or image/webp"
        )
    data = unquote_to_bytes(body)
    if parameters[-1:] == ["base64"]:
        data = _from_base64(data)
    if len(data) > MAX_BYTES:
        raise ValueError(f"must have at most {MAX_BYTES // 10**6} MB")
    return data


def _from_base64(text: bytes) -> bytes:
    digits = text.translate(bytes.maketrans(b"-_", b"+/"), BLANKS).rstrip(b"=")
    try:
        return base64.b64decode(digits + b"=" * (-len(digits) % 4), validate=True)
    except ValueError:
        raise ValueError(
            "must be a data: URL whose base64 is whole, and nothing but base64"
        ) from None


def _picture(value: object) -> str:
    try:
        if isinstance(value, list | tuple):
            raise ValueError("must be one URL, not a list: one picture is taken")
        if not isinstance(value, str):
            raise ValueError(FORM)
        source(value)
    except ValueError as rule:
        # Without the value: a URL may hold a key.
        told = {"rule": str(rule), "invalid": INVALID}
        raise PydanticCustomError("rule", "{rule} ({invalid})", told) from None
    return value.strip()


Picture = Annotated[str, BeforeValidator(_picture)]
"""As `source` reads it. Never logged: a URL may hold a key. Its field has `repr=False`."""
