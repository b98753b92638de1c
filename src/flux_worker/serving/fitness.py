"""What must hold before a worker takes its first job; the SDK checks it when the worker starts."""

from collections.abc import Awaitable, Callable

from flux_worker.contract.request import ImageRequest
from flux_worker.delivery.storage import Storage
from flux_worker.errors import CannotStart, InvalidRequest
from flux_worker.serving.gpu import Gpu
from flux_worker.settings import Settings

WARM_UP = {"prompt": "a red circle", "num_inference_steps": 1}

Check = Callable[[], Awaitable[None] | None]
"""Raises where something is wrong."""


def checks(gpu: Gpu, storage: Storage, settings: Settings) -> list[Check]:
    """Return checks that images can be made, one of each warm-up size, and stored.

    What is compiled or tuned for the first image is so before the first job. A failing check ends
    the worker with status 1, its sentence in the log and at the platform.

    Raises:
        CannotStart: WARMUP_SIZES holds something else than sizes that can be asked for.
    """
    requests = [_request(size, settings) for size in settings.warmup_sizes.split(",")]

    def images_can_be_generated() -> None:
        for request in requests:
            gpu.warm_up(request)

    async def the_bucket_gives_back_what_is_written() -> None:
        await storage.check()

    return [images_can_be_generated, the_bucket_gives_back_what_is_written]


def _request(size: str, settings: Settings) -> ImageRequest:
    try:
        return ImageRequest.parse({**WARM_UP, "size": size}, settings.model)[0]
    except InvalidRequest as error:
        raise CannotStart(f"WARMUP_SIZES must list sizes, as 1024x1024,768x512. {error}") from None
