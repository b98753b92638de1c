"""The Runpod Serverless entry point: a cold start loads FLUX once, then every job is one story,
told in `flux_worker.serving.worker`, from its input to `{"image_url", "cost"}`.

On a platform worker it takes jobs from the queue; `python handler.py` runs `test_input.json` once;
`python handler.py --rp_serve_api` serves the SDK's development API on http://localhost:8000.
"""

import sys

from flux_worker import first_process, logs, writable  # noqa: F401
from flux_worker.errors import CannotStart
from flux_worker.settings import Settings
from flux_worker.weights import lookup, prefetch


def main() -> None:
    """Load everything, then serve until the platform ends the worker."""
    try:
        settings = Settings.from_environment()
        logs.configure(settings.runpod_log_level)
        writable.require()
        with prefetch.reading(lookup.nearest(settings)):
            # Only now: these imports take seconds, and the libraries read their log levels then.
            from flux_worker.delivery.storage import Storage
            from flux_worker.engine import pipeline
            from flux_worker.serving import fitness, sdk, sdk_posts
            from flux_worker.serving.gpu import Gpu
            from flux_worker.serving.worker import Worker
        storage = Storage(settings)
        gpu = Gpu(lambda: pipeline.load(settings), settings.model)
        worker = Worker(settings, gpu, storage, sdk_posts.channel())
        checks = fitness.checks(gpu, storage, settings)
    except CannotStart as reason:
        sys.exit(f"The worker can't start. {reason}")

    sdk.serve(worker, checks, settings.jobs_in_flight)


if __name__ == "__main__":
    main()
