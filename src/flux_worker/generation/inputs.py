"""What a request refers to and the worker has to bring: files of the caller's."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from flux_worker.adapters.deltas import Weighed
from flux_worker.contract.loras import Lora
from flux_worker.contract.request import ImageRequest


@dataclass(frozen=True)
class Inputs:
    """The files of one request, fetched and checked."""

    loras: tuple[Weighed, ...] = ()
    """What is merged into the model for it."""


Fetch = Callable[[ImageRequest], Awaitable[Inputs]]
"""Brings what a request refers to, before it waits for the GPU; a stop cancels it.

It raises `InvalidRequest` where something can't be had, or isn't what it should be."""


def fetching(bring: Callable[[Sequence[Lora]], Awaitable[tuple[Weighed, ...]]]) -> Fetch:
    """Return what brings a request's files, LoRAs by `bring`."""

    async def fetch(request: ImageRequest) -> Inputs:
        return Inputs(await bring(request.loras))

    return fetch
