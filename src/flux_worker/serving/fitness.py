"""What must hold before a worker takes its first job; the SDK checks it when the worker starts."""

from collections.abc import Awaitable, Callable, Sequence

from flux_worker.contract.catalog import PICTURES
from flux_worker.contract.request import ImageRequest
from flux_worker.delivery.storage import Storage
from flux_worker.errors import CannotStart, InvalidRequest
from flux_worker.serving.gpu import Gpu
from flux_worker.settings import Settings
from flux_worker.telemetry.start import Start

WARM_UP = {"prompt": "a red circle", "num_inference_steps": 1}
NO_PICTURE = "data:image/png,"
"""Stands for a picture that isn't looked at."""

Check = Callable[[], Awaitable[None] | None]
"""Raises where something is wrong."""


def warm_ups(settings: Settings) -> list[ImageRequest]:
    """Return a request for each warm-up size.

    Raises:
        CannotStart: WARMUP_SIZES holds something else than sizes that can be asked for.
    """
    return [_request(size, settings) for size in settings.warmup_sizes.split(",")]


def checks(
    gpu: Gpu, storage: Storage, requests: Sequence[ImageRequest], start: Start
) -> list[Check]:
    """Return checks that these images can be made, and one stored: the last stages of the start.

    What is compiled or tuned for the first image is so before the first job. A failing check ends
    the worker with status 1, its sentence in the log and at the platform.
    """

    def images_can_be_generated() -> None:
        for request in requests:
            with start.stage("warm-up") as said:
                said["size"] = f"{request.width}x{request.height}"
                gpu.warm_up(request)

    async def the_bucket_gives_back_what_is_written() -> None:
        with start.stage("bucket"):
            await storage.check()

    return [images_can_be_generated, the_bucket_gives_back_what_is_written]


def _request(size: str, settings: Settings) -> ImageRequest:
    pictures = PICTURES[settings.model.tasks[0]]
    try:
        asked = {**WARM_UP, **dict.fromkeys(pictures, NO_PICTURE), "size": size}
        return ImageRequest.parse(asked, settings.model)[0]
    except InvalidRequest as error:
        raise CannotStart(f"WARMUP_SIZES must list sizes, as 1024x1024,768x512. {error}") from None
