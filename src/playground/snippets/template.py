"""Code with places in it, as «url», for what differs from call to call."""

import re
from collections.abc import Callable, Mapping
from typing import Any


def fill(template: str, **parts: str) -> str:
    """Put each part into the places of its name; what looks like a place in a part is none."""
    return re.sub("«(.+?)»", lambda place: parts[place[1]], template)


def lines(values: Mapping[str, Any], indent: int, line: Callable[[str, Any], str]) -> str:
    """Write each name and its value as a line, with that many spaces before it."""
    return "\n".join(" " * indent + line(name, value) for name, value in values.items())
