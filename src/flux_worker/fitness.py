"""What must hold before a worker takes its first job; the SDK checks it when the worker starts."""

from threading import Event

import runpod

from flux_worker.errors import CannotStart, InvalidRequest
from flux_worker.generator import Generator
from flux_worker.request import ImageRequest
from flux_worker.settings import Settings
from flux_worker.storage import Storage

WARM_UP = {"prompt": "a red circle", "num_inference_steps": 1}


def register(generator: Generator, storage: Storage, settings: Settings) -> None:
    """Have the SDK check that images can be made, one of each warm-up size, and stored.

    What is compiled or tuned for the first image is so before the first job. A failing check ends
    the worker with status 1, its sentence in the log and at the platform.

    Raises:
        CannotStart: WARMUP_SIZES holds something else than sizes that can be asked for.
    """
    requests = [_request(size, settings) for size in settings.warmup_sizes.split(",")]

    def images_can_be_generated() -> None:
        for request in requests:
            generator.generate(request, Event())

    def the_bucket_can_be_written() -> None:
        storage.check()

    for check in (images_can_be_generated, the_bucket_can_be_written):
        runpod.serverless.register_fitness_check(check)


def _request(size: str, settings: Settings) -> ImageRequest:
    try:
        return ImageRequest.parse({**WARM_UP, "size": size}, settings.model)[0]
    except InvalidRequest as error:
        raise CannotStart(f"WARMUP_SIZES must list sizes, as 1024x1024,768x512. {error}") from None
