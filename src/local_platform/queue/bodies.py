"""JSON both ways, for whatever clients and workers send."""

import json
import math
from collections.abc import Iterable
from typing import Any

MAX_DEPTH = 100
"""Deeper bodies can be read here and yet be too deep to be written, or for the worker to read."""


def render(content: Any) -> bytes:
    """Write a body, in plain ASCII: half a surrogate pair in a client's text can't be UTF-8."""
    return json.dumps(content, allow_nan=False).encode("ascii")


def parse(data: bytes | bytearray) -> Any:
    """Read a body.

    Raises:
        ValueError: it isn't JSON; NaN and infinities aren't, whatever Python thinks.
    """
    try:
        value = json.loads(data, parse_constant=_refuse, parse_float=_finite)
    except RecursionError:
        raise ValueError("nested too deeply") from None
    level = [value]
    for _ in range(MAX_DEPTH):
        level = [inner for outer in level for inner in _inside(outer)]
        if not level:
            return value
    raise ValueError("nested too deeply")


def _inside(value: Any) -> Iterable[Any]:
    if isinstance(value, dict):
        return value.values()
    return value if isinstance(value, list) else ()


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is not JSON")


def _finite(text: str) -> float:
    number = float(text)
    if math.isinf(number):
        _refuse(text)
    return number
