import pytest
from picture_files import corners, encoded

from flux_worker.downloads.refusals import Refused
from flux_worker.pictures import jpeg, png, signatures, webp


@pytest.mark.parametrize(("form", "read"), [("PNG", png), ("JPEG", jpeg), ("WEBP", webp)])
def test_each_format_has_its_reader(form, read):
    assert signatures.reader(encoded(corners(), form)[:12]) is read.read


@pytest.mark.parametrize(
    ("beginning", "name"),
    [
        (b"<html>", "a web page"),
        (b"  <HTML lang=en>", "a web page"),
        (b"<p>Please log in", "a web page"),
        (b"<!DOCTYPE html><body><svg>", "a web page"),
        (b"<!-- made by hand -->\n<svg>", "an SVG"),
        (b"GIF89a", "a GIF"),
        (b"version https://git-lfs.github.com/spec/v1", None),
        (b"", None),
    ],
)
def test_what_is_something_else_is_named(beginning, name):
    assert signatures.other(beginning) == name
    with pytest.raises(Refused, match=name or "no picture that is known here"):
        signatures.reader(beginning)
