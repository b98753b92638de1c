"""What must hold before a worker takes its first job; the SDK checks it when the worker starts."""

from threading import Event

import runpod

from flux_worker.catalog import ServedModel
from flux_worker.generator import Generator
from flux_worker.request import ImageRequest
from flux_worker.storage import Storage

WARM_UP = {"prompt": "a red circle", "width": 256, "height": 256, "num_inference_steps": 1}


def register(generator: Generator, storage: Storage, model: ServedModel) -> None:
    """Have the SDK check that an image can be made and stored.

    A failing check ends the worker with status 1, its sentence in the log and at the platform.
    """

    def an_image_can_be_generated() -> None:
        request, _ = ImageRequest.parse(WARM_UP, model)
        generator.generate(request, Event())

    def the_bucket_can_be_written() -> None:
        storage.check()

    for check in (an_image_can_be_generated, the_bucket_can_be_written):
        runpod.serverless.register_fitness_check(check)
