"""Which names that others gave may stand in a log line, a header or an address as they are."""

import re

LONGEST_ID = 200
LONGEST_PARAMETER = 40
"""Far more letters than any that is meant."""


def plain(name: object, longest: int) -> bool:
    """Say whether this is an identifier: ASCII letters, digits, `_`, `.` and `-`.

    Anything else may be a piece of a prompt, hold a line break, or lead an address elsewhere.
    """
    return (
        isinstance(name, str)
        and len(name) <= longest
        and bool(re.fullmatch(r"[A-Za-z0-9_-][A-Za-z0-9_.-]*", name))
    )
