"""The story of a job: parse → fetch → generate → encode → store → price → answer."""

import asyncio
import logging
import time
import traceback
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from functools import partial
from typing import Any

from flux_worker.adapters.lora_library import Library
from flux_worker.contract import pricing
from flux_worker.contract.request import ImageRequest
from flux_worker.delivery import images, job_bucket, metadata
from flux_worker.delivery.bucket import Bucket
from flux_worker.delivery.storage import Storage
from flux_worker.errors import DeviceUnusable, GenerationFailed, InvalidRequest
from flux_worker.generation.generator import Generation
from flux_worker.generation.inputs import Fetch, Inputs, fetching
from flux_worker.generation.report import Report
from flux_worker.logs import timed
from flux_worker.pictures.picture_library import Pictures
from flux_worker.serving import progress
from flux_worker.serving.gpu import Gpu
from flux_worker.serving.names import LONGEST_ID, LONGEST_PARAMETER, plain
from flux_worker.serving.progress import Channel
from flux_worker.serving.turns import Turns
from flux_worker.settings import Settings
from flux_worker.telemetry import spans
from flux_worker.telemetry.spans import Tell

log = logging.getLogger(__name__)

Job = Mapping[str, Any]
"""`id`, `input`, and optionally `s3Config`, as the platform delivers them."""
Record = dict[str, Any]
"""What the job's log line will say."""

LONGEST_WAIT = 0.5
"""Seconds that a job's turn waits for its files: those that are here come sooner, no others do."""


class Worker:
    """Turns jobs into answers: `{"image_url", "cost"}`, or `{"error"}` with a sentence."""

    def __init__(
        self,
        settings: Settings,
        gpu: Gpu,
        storage: Storage,
        channel: Channel | None = None,
        fetch: Fetch | None = None,
        tell: Tell | None = None,
    ) -> None:
        """Bring the parts together.

        Args:
            settings: of the worker.
            gpu: has the model.
            storage: takes the images.
            channel: without it, nobody hears of a job's progress.
            fetch: brings what requests refer to, by default from where that is.
            tell: takes a span of each job; without it none are made.
        """
        self._settings = settings
        self._gpu = gpu
        self._storage = storage
        self._channel = channel
        self._tell = tell
        self._fetch = fetch or fetching(
            Library(settings, gpu.layers).bring,
            Pictures(settings).bring,
            settings.model,
            gpu.multiple,
        )
        self._made_by = metadata.maker(settings) if settings.embed_metadata else None
        self._encoding = ThreadPoolExecutor(settings.jobs_in_flight, "encode")
        self.turns = Turns()
        """Says when the next job is to be taken."""

    @property
    def unusable(self) -> asyncio.Event:
        """Set for good when this process can make no more images and must be replaced."""
        return self._gpu.unusable

    async def handle(self, job: Job) -> dict[str, Any]:
        """Run one job. Errors are answers, always with a string; only a cancelled job raises."""
        begin = time.perf_counter()
        job_id = job.get("id") if plain(job.get("id"), LONGEST_ID) else "?"
        record: Record = {"job": job_id, "status": "stopped", "seconds": {}}
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
            return {"error": str(error)}
        except GenerationFailed as error:
            record |= {"status": "failed", "failure": str(error)}
            return {"error": str(error)}
        except Exception as error:
            # The kind and the place, but not the message, which may repeat the prompt.
            frames = traceback.format_tb(error.__traceback__)
            record |= {"status": "failed", "failure": type(error).__name__, "at": frames}
            return {
                "error": f"The worker failed unexpectedly ({type(error).__name__}): no cost is "
                f"reported; its log has the details of job {record['job']}."
            }
        finally:
            self.turns.leave(record["job"])
            record["seconds"]["total"] = time.perf_counter() - begin
            record["seconds"] = {k: round(v, 4) for k, v in record["seconds"].items()}
            level = logging.ERROR if record["status"] == "failed" else logging.INFO
            log.log(level, "job %s", record["status"], extra={"fields": record})
            if self._tell:
                self._tell(spans.of_a_job(record, self._settings.flux_model))

    async def _run(self, job: Job, record: Record, report: Report) -> dict[str, Any]:
        seconds: dict[str, float] = record["seconds"]
        with timed(seconds, "parse"):
            # Beside the loop: the input may be a picture of 20 MB.
            request, unread, bucket = await asyncio.to_thread(self._parse, job)
        if unread:
            # The others may be a prompt, or a piece of one.
            named = [key for key in unread if plain(key, LONGEST_PARAMETER)]
            fields = {"parameters": named, "others": len(unread) - len(named)}
            log.warning("Ignored unknown parameters.", extra={"fields": fields})
        record |= {
            "task": request.task,
            "steps": request.steps,
            "seed": request.seed,
            "format": request.image_format,
        }

        with timed(seconds, "fetch"):
            await self._storage.admit(bucket)
            request, brought = await self._bring(record["job"], request)
        record |= {"width": request.width, "height": request.height}
        if request.loras:
            record["loras"] = len(request.loras)
            record["lora_triggers"] = [each for lora, _ in brought.loras for each in lora.triggers]
        generation = await self._generate(record["job"], request, brought, report, seconds)
        if generation.dropped_tokens:
            record["dropped_tokens"] = generation.dropped_tokens

        with timed(seconds, "encode"):
            image = await asyncio.get_running_loop().run_in_executor(
                self._encoding,
                images.encode,
                generation.pixels,
                request.image_format,
                self._made_by and metadata.parameters(request, self._made_by),
            )
        record["bytes"] = len(image.data)
        with timed(seconds, "upload"):
            url = await self._storage.publish(image, bucket)
        cost = pricing.cost(request.width, request.height, self._settings.price)
        return {"image_url": url, "cost": float(cost)}

    async def _bring(self, job_id: str, request: ImageRequest) -> tuple[ImageRequest, Inputs]:
        """Bring what a request refers to; where that takes long, other jobs go first meanwhile."""
        bringing = asyncio.ensure_future(self._fetch(request))
        try:
            done, _ = await asyncio.wait({bringing}, timeout=LONGEST_WAIT)
            with nullcontext() if done else self.turns.aside(job_id):
                return await bringing
        finally:
            bringing.cancel()

    async def _generate(
        self,
        job_id: str,
        request: ImageRequest,
        brought: Inputs,
        report: Report,
        seconds: dict[str, float],
    ) -> Generation:
        expect = partial(self.turns.expect, job_id)
        try:
            generation = await self._gpu.generate(request, brought, report, seconds, expect)
        finally:
            self.turns.leave(job_id)
        before = ("parse", "fetch", "text_encoding")
        self.turns.note_preparation(sum(seconds.get(stage, 0) for stage in before))
        return generation

    def _parse(self, job: Job) -> tuple[ImageRequest, list[str], Bucket | None]:
        faults: list[str] = []
        try:
            bucket = job_bucket.parse(job.get("s3Config"))
        except InvalidRequest as error:
            faults += error.faults
        try:
            request, unread = ImageRequest.parse(job.get("input"), self._settings.model)
        except InvalidRequest as error:
            faults = [*error.faults, *faults]
        if faults:
            raise InvalidRequest(*faults)
        return request, unread, bucket
