"""The story of a job: parse → generate → encode → store → price → answer."""

import asyncio
import logging
import time
import traceback
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from threading import Event
from typing import Any

from flux_worker import __version__, bucket, images, pricing, progress
from flux_worker.bucket import Bucket
from flux_worker.errors import DeviceUnusable, GenerationFailed, InvalidRequest
from flux_worker.generator import Generation, Generator
from flux_worker.progress import Channel
from flux_worker.request import ImageRequest
from flux_worker.settings import Settings
from flux_worker.steps import Report
from flux_worker.storage import Storage

log = logging.getLogger(__name__)

Job = Mapping[str, Any]
"""`id`, `input`, and optionally `s3Config`, as the platform delivers them."""
Record = dict[str, Any]
"""What the job's log line will say."""


class Worker:
    """Turns jobs into answers: `{"image_url", "cost"}`, or `{"error"}` with a sentence."""

    def __init__(
        self,
        settings: Settings,
        generator: Generator,
        storage: Storage,
        channel: Channel | None = None,
    ) -> None:
        """Bring the parts together; without a channel, nobody hears of a job's progress."""
        self._settings = settings
        self._channel = channel
        self._generator = generator
        self._storage = storage
        # One thread is the lock on the GPU: a cancelled generation ends before the next begins.
        self._gpu = ThreadPoolExecutor(max_workers=1, thread_name_prefix="gpu")
        self.sdk_config: dict[str, Any] = {
            "handler": self.handle,
            "concurrency_modifier": lambda _: settings.concurrency,
        }
        """What `runpod.serverless.start` takes."""

    async def handle(self, job: Job) -> dict[str, Any]:
        """Run one job. Errors are answers, always with a string; only a cancelled job raises.

        The answer to a job that broke the GPU carries `refresh_worker`, and so does `sdk_config`
        from then on: the SDK tells the platform by the one and ends its own loop by the other.
        """
        begin = time.perf_counter()
        record: Record = {"job": str(job.get("id")), "status": "stopped", "seconds": {}}
        try:
            async with progress.reporting(self._channel, record["job"]) as report:
                answer = await self._run(job, record, report)
            record["status"] = "completed"
            return answer
        except InvalidRequest as error:
            record |= {"status": "refused"}
            return {"error": str(error)}
        except DeviceUnusable as error:
            # What CUDA says; no text of the job is in it.
            record |= {"status": "failed", "failure": str(error.__cause__).partition("\n")[0]}
            return {"error": str(error), "refresh_worker": True}
        except GenerationFailed as error:
            record |= {"status": "failed", "failure": str(error)}
            return {"error": str(error)}
        except Exception as error:
            # The kind and the place, but not the message, which may repeat the prompt.
            frames = traceback.format_tb(error.__traceback__)
            record |= {"status": "failed", "failure": type(error).__name__, "at": frames}
            return {
                "error": f"The worker failed unexpectedly ({type(error).__name__}): nothing is "
                f"charged; its log has the details of job {record['job']}."
            }
        finally:
            record["seconds"]["total"] = time.perf_counter() - begin
            record["seconds"] = {k: round(v, 4) for k, v in record["seconds"].items()}
            level = logging.ERROR if record["status"] == "failed" else logging.INFO
            log.log(level, "job %s", record["status"], extra={"fields": record})

    async def _run(self, job: Job, record: Record, report: Report) -> dict[str, Any]:
        seconds: dict[str, float] = record["seconds"]
        with _timed(seconds, "parse"):
            request, unread, job_bucket = self._parse(job)
        if unread:
            log.warning("Ignored unknown parameters.", extra={"fields": {"parameters": unread}})
        record |= {
            "width": request.width,
            "height": request.height,
            "steps": request.num_inference_steps,
            "seed": request.seed,
            "format": request.image_format,
        }

        generation = await self._generate(request, seconds, report)
        if generation.dropped_tokens:
            record["dropped_tokens"] = generation.dropped_tokens

        with _timed(seconds, "encode"):
            image = await asyncio.to_thread(
                images.encode, generation.pixels, request.image_format, self._metadata(request)
            )
        record["bytes"] = len(image.data)
        with _timed(seconds, "upload"):
            url = await asyncio.to_thread(self._storage.publish, image, job_bucket)
        cost = pricing.cost(request.width, request.height, self._settings.price)
        return {"image_url": url, "cost": float(cost)}

    def _parse(self, job: Job) -> tuple[ImageRequest, list[str], Bucket | None]:
        faults: list[str] = []
        try:
            job_bucket = bucket.from_job(job.get("s3Config"))
        except InvalidRequest as error:
            faults += error.faults
        try:
            request, unread = ImageRequest.parse(job.get("input"), self._settings.model)
        except InvalidRequest as error:
            faults = [*error.faults, *faults]
        if faults:
            raise InvalidRequest(*faults)
        return request, unread, job_bucket

    async def _generate(
        self, request: ImageRequest, seconds: dict[str, float], report: Report
    ) -> Generation:
        stop, asked = Event(), time.perf_counter()

        def on_gpu() -> tuple[float, Generation]:
            waited = time.perf_counter() - asked
            try:
                return waited, self._generator.generate(request, stop, report)
            except DeviceUnusable:
                # Here, since nobody hears of it where the job has been cancelled meanwhile.
                self.sdk_config["refresh_worker"] = True
                raise

        loop = asyncio.get_running_loop()
        try:
            waited, generation = await loop.run_in_executor(self._gpu, on_gpu)
        except asyncio.CancelledError:
            stop.set()
            raise
        seconds |= {"wait_for_gpu": waited} | generation.seconds
        return generation

    def _metadata(self, request: ImageRequest) -> dict[str, Any] | None:
        if not self._settings.embed_metadata:
            return None
        made_by = {"model": f"FLUX.1-{self._settings.flux_model}", "worker": __version__}
        return request.model_dump(exclude={"image_format", "preview"}, exclude_none=True) | made_by


@contextmanager
def _timed(seconds: dict[str, float], stage: str) -> Iterator[None]:
    begin = time.perf_counter()
    yield
    seconds[stage] = time.perf_counter() - begin
