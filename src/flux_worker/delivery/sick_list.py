"""Remembers for a while which buckets kept an image waiting in vain."""

import time
from collections.abc import Callable

from flux_worker.delivery.address import Address

REST = 5
"""How many times as long as it was waited in vain, a bucket is left alone: so a sick one costs a
sixth of the time at most, and one that was gone for a moment is back soon."""


class SickList:
    """Buckets that aren't asked again yet, by their addresses."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        """Begin without any; the clock is in seconds."""
        self._clock = clock
        self._until: dict[Address, float] = {}

    def __contains__(self, address: Address) -> bool:
        return self._clock() < self._until.get(address, 0)

    def add(self, address: Address, waited: float) -> None:
        """Leave a bucket alone that was waited for in vain for so many seconds."""
        now = self._clock()
        self._until = {each: until for each, until in self._until.items() if until > now}
        self._until[address] = now + REST * waited
