"""Each check is one line."""

from collections.abc import Callable
from typing import TypeVar

from builder.deploy.errors import CannotDeploy

Found = TypeVar("Found")


class Differs(Exception):
    """A part of the contract isn't what it should be."""

    def __init__(self, expected: object, got: object) -> None:
        """Say what was expected, and what came."""
        super().__init__(f"expected {expected}, got {got}")


class Report:
    """The lines so far."""

    def __init__(self, say: Callable[[str], None]) -> None:
        """Take what lines are given to as they come."""
        self.differences = 0
        self._say = say

    def check(self, what: str, look: Callable[[], Found]) -> Found | None:
        """Look, and write how it is. What was found may explain what is fine, as a text."""
        try:
            found = look()
        except (Differs, CannotDeploy) as error:
            self.differences += 1
            self._say(f"differs: {what}: {error}")
            return None
        self._say(f"ok: {what}{f': {found}' if isinstance(found, str) else ''}")
        return found

    def skip(self, what: str, why: str) -> None:
        """Note a check that can't be made."""
        self._say(f"skipped: {what}: {why}")
