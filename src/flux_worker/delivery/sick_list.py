"""Remembers for a while which buckets kept an image waiting in vain."""

import time
from collections.abc import Callable

from flux_worker.delivery.bucket import Bucket

REST = 5
"""How many times as long as it was waited in vain, a bucket is left alone: so a sick one costs a
sixth of the time at most, and one that was gone for a moment is back soon."""


class SickList:
    """Buckets that aren't asked again yet.

    One is another with other keys, so that no caller's job can keep the images of others out of it.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        """Begin without any; the clock is in seconds."""
        self._clock = clock
        self._until: dict[Bucket, float] = {}

    def __contains__(self, bucket: Bucket) -> bool:
        return self._clock() < self._until.get(bucket, 0)

    def add(self, bucket: Bucket, waited: float) -> None:
        """Leave a bucket alone that was waited for in vain for so many seconds."""
        now = self._clock()
        self._until = {each: until for each, until in self._until.items() if until > now}
        self._until[bucket] = now + REST * waited
