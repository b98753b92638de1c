"""A worker as the SDK's examples show it: one synchronous function from the job to the answer.

It uses this project's parts, so that nothing but the way the handler is built differs.
"""

import time
from threading import Event
from typing import Any

import runpod

from flux_worker import images, logs, pipeline, pricing
from flux_worker.generator import Generator
from flux_worker.request import ImageRequest
from flux_worker.settings import Settings
from flux_worker.storage import Storage

if __name__ == "__main__":
    settings = Settings.from_environment()
    logs.configure(settings.runpod_log_level)
    generator = Generator(pipeline.load(settings), settings.model)
    storage = Storage(settings)

    def handle(job: dict[str, Any]) -> dict[str, Any]:
        """Answer a job."""
        begin = time.perf_counter()
        request, _ = ImageRequest.parse(job["input"], settings.model)
        generation = generator.generate(request, Event())
        image = images.encode(generation.pixels, request.image_format, request.model_dump())
        url = storage.publish(image)
        fields = {"seconds": {**generation.seconds, "total": time.perf_counter() - begin}}
        logs.logging.getLogger("flux_worker").info("job completed", extra={"fields": fields})
        return {
            "image_url": url,
            "cost": float(pricing.cost(request.width, request.height, settings.price)),
        }

    runpod.serverless.start({"handler": handle})
