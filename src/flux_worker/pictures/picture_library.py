"""The pictures that requests name: brought, and decoded."""

from collections.abc import Mapping

from flux_worker.downloads.attempts import Limits
from flux_worker.pictures.decoder import Picture
from flux_worker.settings import Settings

LIMITS = Limits(patience=60.0, pauses=(0.2, 0.6, 1.8))


class Pictures:
    """Brings each picture once for all jobs that want it at the time, and decodes one by one."""

    def __init__(self, settings: Settings, limits: Limits = LIMITS) -> None:
        """Touch nothing yet.

        Args:
            settings: say where from.
            limits: of time.
        """

    async def bring(self, named: Mapping[str, str]) -> dict[str, Picture]:
        """Return a request's pictures.

        A stop cancels it, and with it what no other job waits for.

        Args:
            named: by the parameter's name, what `contract.pictures.source` reads.

        Raises:
            InvalidRequest: some lead to no picture; all of them are named.
            GenerationFailed: some can't be had now.
        """
        raise NotImplementedError
