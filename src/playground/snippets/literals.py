"""Values as each language writes them: exact, readable, and never more than a value."""

import json
import re
import unicodedata
from collections.abc import Callable

HIDDEN = frozenset("Cc Cf Co Zl Zp Zs".split())
"""Unicode's categories of what can't be seen, or changes how the text around it is seen."""
ORDINARY = frozenset(" \u3000\u200c\u200d")
"""Those of them that texts need: the spaces, and what joins emoji and some scripts' letters."""
MAX_SAFE_INTEGER = 2**53 - 1
"""The largest number up to which JavaScript's are exact: Number.MAX_SAFE_INTEGER."""


def in_json(value: object) -> str:
    """Write a value in JSON."""
    return _visible(json.dumps(value, ensure_ascii=False), lambda hidden: json.dumps(hidden))


def in_javascript(value: object) -> str:
    """Write a value in JavaScript, also for inside an HTML page's script element."""
    if isinstance(value, int) and value > MAX_SAFE_INTEGER:
        return f'JSON.rawJSON("{value}")'
    return re.sub("<(?=/script|!--)", r"\\u003c", in_json(value), flags=re.IGNORECASE)


def in_python(value: object) -> str:
    """Write a value in Python."""
    if isinstance(value, list):
        return f"[{', '.join(map(in_python, value))}]"
    if isinstance(value, dict):
        entries = (f"{in_python(key)}: {in_python(each)}" for key, each in value.items())
        return f"{{{', '.join(entries)}}}"
    if not isinstance(value, str):
        return repr(value)
    # JSON's escapes mean the same in Python, but for characters beyond four hexadecimal digits.
    return _visible(json.dumps(value, ensure_ascii=False), ascii)


def in_shell(text: str) -> str:
    """Quote a text for POSIX shells, so that none expands anything in it, not even a `!`."""
    return "'" + text.replace("'", r"'\''") + "'"


def _visible(literal: str, quoted: Callable[[str], str]) -> str:
    """Escape what is hidden, as it is in a quoted character."""
    return "".join(quoted(each)[1:-1] if _is_hidden(each) else each for each in literal)


def _is_hidden(character: str) -> bool:
    return unicodedata.category(character) in HIDDEN and character not in ORDINARY
