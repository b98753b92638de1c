"""The pictures of a request: which forms there are, and what is said of any other."""

import base64
import re
from typing import Annotated, Any
from urllib.parse import quote

import pytest
from pydantic import BaseModel, Field, ValidationError

from flux_worker.contract import pictures
from flux_worker.contract.pictures import DataUrl, Picture
from flux_worker.contract.urls import Url

DATA = bytes(range(256)) * 2 + b"\xfb\xff"
BASE64 = base64.b64encode(DATA).decode()
PNG = f"data:image/png;base64,{BASE64}"


class Request(BaseModel):
    image: Annotated[Picture, Field(repr=False)]


def error_of(value: Any) -> str:
    with pytest.raises(ValidationError) as refusal:
        Request(image=value)
    (fault,) = refusal.value.errors(include_url=False, include_input=False)
    return str(fault["msg"])


@pytest.mark.parametrize(
    "url",
    [
        "https://example.com/a.png",
        "HTTPS://example.com/a",
        "https://example.com/a.png?X-Amz-Signature=1%2F2&x",
        f"https://example.com/?{'x' * 8100}",
        "https://huggingface.co/o/n/resolve/main/a.png",
    ],
)
def test_an_https_url_is_taken_as_it_is(url):
    assert pictures.source(Request(image=f" {url}#part\n").image) == Url(url)


@pytest.mark.parametrize(
    "text",
    [
        PNG,
        f"  {PNG}\n",
        f"DATA:IMAGE/PNG;BASE64,{BASE64}",
        f"data:image/jpeg;base64,{BASE64}",
        f"data:image/jpg;base64,{BASE64}",
        f"data:image/webp;base64,{BASE64}",
        f"data: image/png ; charset=utf-8 ;name=a.png; base64 ,{BASE64}",
        "data:image/png;base64," + "\r\n".join(re.findall(".{1,76}", BASE64)),
        f"data:image/png;base64,{quote(BASE64, safe='')}",
        f"data:image/png;base64,{BASE64.rstrip('=')}",
        f"data:image/png;base64,{BASE64.replace('+', '-').replace('/', '_')}",
        f"{PNG}#part",
        f"data:image/png,{quote(DATA)}",
        f"data:image/png;charset=x,{quote(DATA, safe='')}",
    ],
)
def test_a_data_url_is_the_file_in_whatever_form_browsers_read(text):
    assert pictures.source(Request(image=text).image) == DataUrl(DATA)


LIST = "must be one URL, not a list: one picture is taken"
PATH = "must be a URL, not a file's path: send the file as data:image/png;base64,…"
BARE = "must be a data: URL: put data:image/png;base64, before the base64"
HTTP = "must be an https URL: nothing is fetched over http"
TYPE = (
    "must be a data: URL that begins as data:image/png;base64, does, or with image/jpeg or "
    "image/webp"
)
BROKEN = "must be a data: URL whose base64 is whole, and nothing but base64"


@pytest.mark.parametrize(
    ("value", "said"),
    [
        *((value, pictures.FORM) for value in (1, True, {}, {"url": "https://h/x"}, b"https://h")),
        *((value, LIST) for value in ([], ["https://h/x"], [PNG, PNG])),
        *((value, HTTP) for value in ("http://h/x.png", "HTTP://h", "http:x")),
        *((value, PATH) for value in ("file:///etc/passwd", "/etc/passwd", "./a", "../a", "~/a")),
        *((value, PATH) for value in ("C:\\a.png", "c:/a", "a.png", "my photo.JPG", "\\\\s\\x")),
        *((value, BARE) for value in (BASE64, "iVBORw0KGgo=", "/9j/4AAQ", "UklGRiQ", "R0lGODlh")),
        *((value, TYPE) for value in ("data:", "data:,", "data:x", "data:image/png;base64")),
        *((f"data:{kind};base64,{BASE64}", TYPE) for kind in ("", "text/html", "image/svg+xml")),
        *((f"data:{kind};base64,{BASE64}", TYPE) for kind in ("image/gif", "image/*", "png")),
        *((f"data:image/png;base64,{data}", BROKEN) for data in ("A", "AB!D", "A=BC", "%zz", "é")),
        *((value, pictures.FORM) for value in ("https://", "https://h/a b", "https:h", "//h/x")),
        *((value, pictures.FORM) for value in ("s3://b/k", "blob:https://h/1", "ftp://h/x", "x")),
        ("https://me:hush@h/x", "must be a URL without a user name and a password"),
        (f"https://h/{'x' * 8192}", "must be at most 8192 characters, as an https URL"),
        ("https://h/\ud83d", "must be valid Unicode (got half a surrogate pair)"),
        (f"data:image/png,{'x' * 20_000_001}", "must have at most 20 MB"),
    ],
    ids=lambda value: repr(value)[:30],
)
def test_anything_else_is_refused_by_its_cause(value, said):
    assert error_of(value) == f"{said} (Invalid image URL)"


def test_twenty_megabytes_are_taken():
    text = "data:image/png;base64," + base64.b64encode(bytes(20_000_000)).decode()
    assert pictures.source(text) == DataUrl(bytes(20_000_000))


def test_nothing_of_it_is_shown():
    assert "hush" not in repr(Request(image="https://h/x?key=hush"))
    assert "hush" not in error_of("ftp://h/x?key=hush")
    assert "hush" not in error_of(["https://h/x?key=hush"])
    assert "hush" not in repr(DataUrl(b"hush"))
