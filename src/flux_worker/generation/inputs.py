"""What a request refers to and the worker has to bring: files of the caller's."""

from dataclasses import dataclass

from flux_worker.contract.request import ImageRequest


@dataclass(frozen=True)
class Inputs:
    """The files of one request, fetched and checked. Text to image refers to none."""


async def fetch(request: ImageRequest) -> Inputs:
    """Bring what the request refers to, before it waits for the GPU.

    A stop cancels it.

    Raises:
        InvalidRequest: something can't be had, or isn't what it should be.
    """
    return Inputs()
