"""What a request is told where some of its files can't be had."""

import asyncio
from collections.abc import Awaitable, Mapping
from typing import TypeVar

from flux_worker.downloads.refusals import Refused, Unavailable
from flux_worker.errors import GenerationFailed, InvalidRequest

T = TypeVar("T")


async def of_all(wanted: Mapping[str, Awaitable[T]]) -> dict[str, T]:
    """Wait for all files of a request, and return what has come of each.

    Args:
        wanted: by what the request calls each.

    Raises:
        InvalidRequest: some were refused; all of them are named.
        GenerationFailed: some can't be had now.
    """
    found = await asyncio.gather(*wanted.values(), return_exceptions=True)
    faults, failures, brought = [], [], {}
    for name, outcome in zip(wanted, found, strict=True):
        match outcome:
            case Refused():
                faults.append(f"{name} {outcome}")
            case Unavailable():
                failures.append(f"{name} {outcome}")
            case BaseException():
                raise outcome
            case _:
                brought[name] = outcome
    if faults:
        raise InvalidRequest(*faults)
    if failures:
        raise GenerationFailed("; ".join(failures) + ".")
    return brought
