"""What the code is to do."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

from flux_worker.contract.catalog import ServedModel

RFC_3986_RESERVED = ":/?#[]@!$&'()*+,;="


@dataclass(frozen=True)
class File:
    """A picture beside the code that sends it."""

    name: str
    content_type: str


@dataclass(frozen=True)
class Call:
    """One image, asked for by one of an endpoint's operations."""

    base_url: str
    """Of all endpoints, with http:// or https:// and without a slash at the end."""
    endpoint_id: str
    model: ServedModel
    parameters: Mapping[str, Any]
    """What is sent, by the documented names: validated, and the prompt among them. Not the
    pictures."""
    operation: str
    """run or runsync."""
    pictures: Mapping[str, File] = field(default_factory=dict)
    """The files that are sent, by the parameters' names."""
    sides: tuple[int, int] | None = None
    """Width and height of the image, where a picture decides them."""

    @property
    def base(self) -> str:
        """The base URL, in a URL's characters alone."""
        return quote(self.base_url, safe=RFC_3986_RESERVED + "%")

    @property
    def endpoint(self) -> str:
        """The endpoint's id as one segment of a path."""
        return quote(self.endpoint_id, safe="")

    @property
    def url(self) -> str:
        """The endpoint's address."""
        return f"{self.base}/{self.endpoint}"
