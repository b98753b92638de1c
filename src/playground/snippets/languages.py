"""The languages, by the titles that people choose from."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from playground.snippets import curl, javascript, python
from playground.snippets.call import Call


@dataclass(frozen=True)
class Language:
    """How a call is written, by one client of one language."""

    syntax: Literal["python", "javascript", "shell"]
    """What highlighters call it."""
    write: Callable[[Call], str]


SNIPPETS = {
    "Python, requests": Language("python", python.with_requests),
    "Python, runpod SDK": Language("python", python.with_sdk),
    "JavaScript, fetch": Language("javascript", javascript.with_fetch),
    "JavaScript, AI SDK": Language("javascript", javascript.with_ai_sdk),
    "cURL": Language("shell", curl.with_curl),
}


def write(language: str, call: Call) -> str:
    """Return the code of a call, in the language of this title."""
    return SNIPPETS[language].write(call)
