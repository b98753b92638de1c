"""The Runpod Serverless entry point: a cold start loads FLUX once, then every job is one story,
told in `flux_worker.serving.worker`, from its input to `{"image_url", "cost"}`.

On a platform worker it takes jobs from the queue; `python handler.py` runs `test_input.json` once;
`python handler.py --rp_serve_api` serves the SDK's development API on http://localhost:8000.
"""

from flux_worker import blanks, first_process  # noqa: F401
from flux_worker.telemetry.exporter import exporting
from flux_worker.telemetry.start import Start


def main() -> None:
    """Load everything, then serve until the platform ends the worker."""
    with exporting() as spans, Start.of_this_process(spans) as start:
        with start.stage("imports"):
            from flux_worker import logs, writable
            from flux_worker.settings import Settings
            from flux_worker.weights import lookup, prefetch

            settings = Settings.from_environment()
            logs.configure(settings.runpod_log_level)
            writable.require()
            with prefetch.reading(lookup.nearest(settings)):
                # Only now: these take seconds, and the libraries read their log levels then.
                from flux_worker.delivery.storage import Storage
                from flux_worker.engine import pipeline
                from flux_worker.serving import fitness, sdk, sdk_posts
                from flux_worker.serving.gpu import Gpu
                from flux_worker.serving.worker import Worker
            storage, warm_ups = Storage(settings), fitness.warm_ups(settings)
        gpu = Gpu(lambda: pipeline.load(settings, start), settings.model)
        worker = Worker(settings, gpu, storage, sdk_posts.channel(), tell=spans and spans.tell)
        checks = fitness.checks(gpu, storage, warm_ups, start)
        sdk.serve(worker, checks, settings.jobs_in_flight, start.ready)


if __name__ == "__main__":
    main()
