"""JSON both ways, for whatever clients and workers send."""

import json
import math
from collections.abc import Iterable
from typing import Any

MAX_DEPTH = 100
"""Deeper bodies can be read here and yet be too deep to be written, or for the worker to read."""
MAX_PARTS = 100_000
"""Commas and opening brackets. Nobody else is answered while a body is read: this many take a
twentieth of a second, 20 MB of empty lists would take four."""
MAX_DIGITS = 1_000
"""Of a whole number: the time that reading one takes grows with their square."""


def render(content: Any) -> bytes:
    """Write a body, in plain ASCII: half a surrogate pair in a client's text can't be UTF-8."""
    return json.dumps(content, allow_nan=False).encode("ascii")


def parse(data: bytes | bytearray) -> Any:
    """Read a body.

    Raises:
        ValueError: it can't be taken; a sentence for its sender says why. NaN and infinities aren't
            JSON, whatever Python thinks.
    """
    if sum(map(data.count, (b",", b"[", b"{"))) > MAX_PARTS:
        raise ValueError(f"The body must have at most {MAX_PARTS:,} commas and brackets.")
    too_deep = f"The body must be nested at most {MAX_DEPTH} deep."
    try:
        value = json.loads(data, parse_constant=_refuse, parse_float=_finite, parse_int=_whole)
    except RecursionError:
        raise ValueError(too_deep) from None
    except ValueError:
        raise ValueError("The body is not valid JSON.") from None
    level = [value]
    for _ in range(MAX_DEPTH):
        level = [inner for outer in level for inner in _inside(outer)]
        if not level:
            return value
    raise ValueError(too_deep)


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


def _whole(text: str) -> int:
    if len(text) > MAX_DIGITS:
        _refuse("a number of so many digits")
    return int(text)
