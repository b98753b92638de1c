"""Reads what the platform hands out: no job in it takes the others along, nor the worker's memory.

An input is what a caller sent, and so may hold what Python's JSON gives the whole body up for.
"""

import json
import re
from typing import Any

from aiohttp import ClientResponse

LONGEST = 40_000_000
"""Bytes of a job: the platform takes 20 MB, and text grows in JSON."""
DEEPEST = 100
"""Far deeper than any parameter. Python can't read a thousand levels."""
LONGEST_NUMBER = 1_000
"""Digits of a whole number. Python doesn't read more than 4,300."""

PARTS = re.compile(r'"(?:[^"\\]++|\\.)*+"?|[\[{\]}]', re.DOTALL)
"""The texts and brackets of JSON; a text that has no end goes to the end, so it is read once."""


async def read(response: ClientResponse) -> Any:
    """Return the JSON of an answer, None where it is empty.

    Raises:
        ValueError: it is no JSON, or longer than a job can be.
    """
    data = bytearray()
    async for part in response.content.iter_any():
        data += part
        if len(data) > LONGEST:
            raise ValueError("The answer is too long.")
    return parse(data.decode("utf-8-sig", errors="replace"))


def parse(text: str) -> Any:
    """Return what JSON holds, without what is too deep, and too long numbers as infinity.

    Raises:
        ValueError: it is no JSON.
    """
    if not text.strip():
        return None
    try:
        return json.loads(text, parse_int=_number)
    except RecursionError:
        return json.loads(_shallow(text), parse_int=_number)


def _number(digits: str) -> int | float:
    return int(digits) if len(digits) <= LONGEST_NUMBER else float(digits)


def _shallow(text: str) -> str:
    """Put null in place of what is nested too deep."""
    kept, depth, position = list[str](), 0, 0
    for part in PARTS.finditer(text):
        if part[0] in "[{":
            depth += 1
            if depth == DEEPEST + 1:
                kept.append(text[position : part.start()])
        elif part[0] in "]}":
            if depth == DEEPEST + 1:
                kept.append("null")
                position = part.end()
            depth -= 1
    rest = text[position:] if depth <= DEEPEST else ""  # what is never closed is no JSON
    return "".join([*kept, rest])
