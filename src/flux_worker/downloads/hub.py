"""Finds the LoRA of a Hugging Face repository of which no file is named."""

import json

from flux_worker.contract.loras import EXTENSION, HubFile
from flux_worker.downloads import addresses
from flux_worker.downloads.attempts import Limits, persist, require_file
from flux_worker.downloads.hops import Hops
from flux_worker.downloads.refusals import Refused

LONGEST_LIST = 8 << 20
"""Bytes: the Hub's answer for a repository with some ten thousand files."""
SHOWN = 10


async def only_file(hops: Hops, wanted: HubFile, limits: Limits, *, has_copy: bool) -> HubFile:
    """Return the only LoRA that a repository has, at the commit that it is at now.

    Args:
        hops: finds the list of its files.
        wanted: the repository.
        limits: of time.
        has_copy: whether a file of it is here, so that a Hub that says nothing is asked once.

    Raises:
        Refused: it has none, or several, or can't be read.
        Unreached, Unavailable: the Hub doesn't tell.
    """
    url = addresses.url(wanted, hops.endpoint)

    async def attempt() -> bytes:
        async with hops.get(url, {}, is_hubs=True) as reply:
            require_file(hops, wanted, reply)
            body = bytearray()
            while chunk := await reply.response.content.readany():
                body += chunk
                if len(body) > LONGEST_LIST:
                    raise Refused("names a repository with too many files: add the file's name")
            return bytes(body)

    try:
        told = json.loads(await persist(attempt, url.host or "", limits, lambda: not has_copy))
        commit = str(told["sha"])
        names = [str(each["rfilename"]) for each in told["siblings"]]
    except (ValueError, TypeError, KeyError):
        raise Refused("names a repository of which the Hub tells no files") from None
    found = sorted(name for name in names if name.lower().endswith(EXTENSION))
    if not found:
        raise Refused(f"names a repository without a {EXTENSION} file: {wanted.repository}")
    if len(found) > 1:
        more = f" and {len(found) - SHOWN} more" if len(found) > SHOWN else ""
        raise Refused(
            f"names a repository with several {EXTENSION} files: add one of them, as in "
            f"{wanted.repository}/{found[0]}; it has {', '.join(found[:SHOWN])}{more}"
        )
    return HubFile(wanted.repository, commit, found[0])
