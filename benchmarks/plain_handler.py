"""A worker as the SDK's examples show it: one synchronous function from the job to the answer.

It uses this project's parts, so that nothing but the way the handler is built differs.
"""

import asyncio
import logging
import time
from concurrent.futures import ThreadPoolExecutor
from threading import Event
from typing import Any

from flux_worker import logs
from flux_worker.settings import Settings


def main() -> None:
    """Load everything, then serve."""
    settings = Settings.from_environment()
    logs.configure(settings.runpod_log_level)
    # Only now, as in handler.py: they set logging up when they are imported.
    import runpod

    from flux_worker.contract import pricing
    from flux_worker.contract.request import ImageRequest
    from flux_worker.delivery import images
    from flux_worker.delivery.storage import Storage
    from flux_worker.engine import pipeline
    from flux_worker.generation.generator import Generator
    from flux_worker.generation.inputs import Inputs

    storage = Storage(settings)
    generator = Generator(pipeline.load(settings), settings.model)

    def handle(job: dict[str, Any]) -> dict[str, Any]:
        begin = time.perf_counter()
        request, _ = ImageRequest.parse(job["input"], settings.model)
        seconds: dict[str, float] = {}
        generation = generator.generate(request, Inputs(), Event(), seconds=seconds)
        image = images.encode(generation.pixels, request.image_format, request.model_dump())
        with ThreadPoolExecutor(1) as thread:  # this one runs the SDK's event loop
            url = thread.submit(asyncio.run, storage.publish(image)).result()
        cost = pricing.cost(request.width, request.height, settings.price)
        seconds["total"] = time.perf_counter() - begin
        log = logging.getLogger("flux_worker")
        log.info("job completed", extra={"fields": {"seconds": seconds}})
        return {"image_url": url, "cost": float(cost)}

    runpod.serverless.start({"handler": handle})


if __name__ == "__main__":
    main()
