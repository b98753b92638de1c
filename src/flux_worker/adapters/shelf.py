"""Holds the LoRAs that were read last, so that the same ones are ready at once."""

from collections import OrderedDict

from flux_worker.adapters.deltas import Adapter


class Shelf:
    """Adapters by their content; the least recently used go first."""

    def __init__(self, room: int) -> None:
        """Begin empty, with room for so many bytes."""
        self._room = room
        self._adapters: OrderedDict[str, Adapter] = OrderedDict()

    def get(self, digest: str) -> Adapter | None:
        """Return the adapter of this content, if it is here."""
        if digest in self._adapters:
            self._adapters.move_to_end(digest)
        return self._adapters.get(digest)

    def put(self, adapter: Adapter) -> None:
        """Add an adapter, and make room for it; one that is larger than all of it isn't kept."""
        self._adapters[adapter.digest] = adapter
        self._adapters.move_to_end(adapter.digest)
        while sum(each.size for each in self._adapters.values()) > self._room:
            self._adapters.popitem(last=False)
