"""The Runpod Serverless entry point: a cold start loads FLUX once, then every job is one story,
told in `flux_worker.worker`: parse → generate → encode → store → price → `{"image_url", "cost"}`.

On a platform worker it takes jobs from the queue; `python handler.py` runs `test_input.json` once;
`python handler.py --rp_serve_api` serves the SDK's development API on http://localhost:8000.
"""

import sys

from flux_worker import logs, prefetch, weights
from flux_worker.errors import CannotStart
from flux_worker.settings import Settings


def main() -> None:
    """Load everything, then serve until the platform ends the worker."""
    try:
        settings = Settings.from_environment()
        logs.configure(settings.runpod_log_level)
        with prefetch.reading(weights.nearest(settings)):
            # Only now: these imports take seconds, and the libraries read their log levels then.
            import runpod

            from flux_worker import fitness, pipeline, sdk
            from flux_worker.generator import Generator
            from flux_worker.storage import Storage
            from flux_worker.worker import Worker
        storage = Storage(settings)
        generator = Generator(pipeline.load(settings), settings.model)
        fitness.register(generator, storage, settings)
    except CannotStart as reason:
        sys.exit(f"The worker can't start. {reason}")

    sdk.adapt()
    runpod.serverless.start(Worker(settings, generator, storage, sdk.channel()).sdk_config)


if __name__ == "__main__":
    main()
