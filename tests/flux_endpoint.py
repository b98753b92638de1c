"""An endpoint with the worker's contract, in little: it can break any part of it."""

import hashlib
import io
import json
import random
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from loopback import Incoming, serving
from PIL import Image

from flux_worker.contract import pricing
from flux_worker.contract.catalog import DEV, ServedModel
from flux_worker.contract.request import ImageRequest
from flux_worker.errors import InvalidRequest

SHAPING = ("prompt", "seed", "negative_prompt", "guidance")
"""The parameters that change a picture's colour here."""


@dataclass
class FluxEndpoint:
    """What it breaks, and what it was asked."""

    fault: str = ""
    model: ServedModel = DEV
    url: str = ""
    files: dict[str, tuple[str, bytes]] = field(default_factory=dict)
    jobs: dict[str, dict[str, Any]] = field(default_factory=dict)
    asked: list[tuple[str, str | None]] = field(default_factory=list)
    """Path and Authorization of each request."""
    restarts: int = 0
    """Times that a status isn't to be had."""
    over: threading.Event = field(default_factory=threading.Event)

    def handle(self, request: Incoming) -> None:
        data = request.body()
        self.asked.append((request.path, request.headers.get("Authorization")))
        _, room, *rest = request.path.partition("?")[0].split("/")
        if room == "files":
            return self._file(request, rest[0])
        operation = rest[1]
        if operation == self.fault:
            return request.answer(502, b"<html>bad gateway</html>")
        if operation == "health":
            return self._json(request, {"jobs": {}, "workers": {}})
        if operation == "status" and self.restarts:
            self.restarts -= 1
            return request.drop() if self.restarts % 2 else request.answer(502, b"<html>")
        if operation in ("status", "cancel"):
            job = self.jobs.get(rest[2], {})
            if operation == "cancel" and self.fault != "ignores cancelling":
                job["status"] = "CANCELLED"
            return self._json(request, job)
        if self.fault == "hangs":
            self.over.wait(60)
            return request.drop()
        if self.fault == "refuses the key":
            return self._json(request, {"error": "Unauthorized"}, 401)
        job = self._job(json.loads(data)["input"])
        self.jobs.setdefault(job.get("id", ""), job)
        return self._json(request, job)

    def _job(self, job_input: dict[str, Any]) -> dict[str, Any]:
        job_id = f"job-{len(self.jobs)}"
        try:
            asked, _ = ImageRequest.parse(job_input, self.model)
        except InvalidRequest as error:
            return self._refused(job_id, str(error))
        if asked.num_inference_steps == 50:
            return {"id": job_id, "status": "IN_QUEUE"}  # the one that is cancelled
        output = self._output(asked, job_id)
        job = {"id": job_id, "status": "COMPLETED", "output": output}
        job |= {"delayTime": 12, "executionTime": 345, "workerId": "w"}
        match self.fault:
            case "has no envelope":
                return output
            case "has no id":
                del job["id"]
            case "tells times as text":
                job["executionTime"] = "345"
            case "fails":
                return {"id": job_id, "status": "FAILED", "error": "The GPU ran out of memory"}
            case "stays in the queue":
                return {"id": job_id, "status": "IN_QUEUE"}
            case "queues at first":
                self.jobs[job_id] = job
                return {"id": job_id, "status": "IN_QUEUE"}
        return job

    def _refused(self, job_id: str, sentence: str) -> dict[str, Any]:
        job: dict[str, Any] = {"id": job_id, "status": "FAILED", "error": sentence}
        match self.fault:
            case "takes errors for success":
                return {"id": job_id, "status": "COMPLETED", "output": {"error": sentence}}
            case "bills a failed job":
                job["output"] = {"cost": 0.02}
            case "uses other words":
                job["error"] = "bad width"
            case "answers errors as objects":
                job["error"] = {"message": sentence}
        return job

    def _output(self, asked: ImageRequest, job_id: str) -> dict[str, Any]:
        cost: Any = float(pricing.cost(asked.width, asked.height, self.model.price))
        image_format = "jpeg" if self.fault == "makes JPEG alone" else asked.image_format
        content = self._picture(asked, image_format)
        self.files[job_id] = (f"image/{image_format}", content)
        expires = 60 if self.fault == "signs for a minute" else 604_800
        url = f"{self.url}/files/{job_id}?X-Amz-Expires={expires}&X-Amz-Signature=abc"
        output = {"image_url": url, "cost": cost}
        match self.fault:
            case "charges too much":
                output["cost"] = cost + 0.001
            case "charges the world":
                output["cost"] = 10**400
            case "tells cost as text":
                output["cost"] = str(cost)
            case "answers more":
                output["seed"] = 7
            case "answers data URLs":
                output["image_url"] = "data:image/png;base64,AAAA"
            case "answers half a host":
                output["image_url"] = "http://[::1/image.png?X-Amz-Expires=604800"
            case "answers a path":
                output["image_url"] = "/tmp/image.png"
            case "answers public URLs":
                output["image_url"] = url.partition("?")[0]
            case "answers errors in output":
                return {"error": "CUDA error"}
        return output

    def _picture(self, asked: ImageRequest, image_format: str) -> bytes:
        told = {name: str(getattr(asked, name)) for name in SHAPING}
        ignored = self.fault.removeprefix("ignores ").replace(" ", "_")
        told.pop(ignored, None)
        if self.fault == "draws at random":
            told["seed"] = str(random.random())
        digest = hashlib.sha256(json.dumps(told).encode()).digest()
        shrunk = 8 if self.fault == "rounds sizes" and asked.width % 16 else 0
        image = Image.new("RGB", (asked.width - shrunk, asked.height), tuple(digest[:3]))
        file = io.BytesIO()
        image.save(file, image_format)
        return file.getvalue()

    def _file(self, request: Incoming, name: str) -> None:
        content_type, content = self.files[name]
        match self.fault:
            case "wants a login":
                return request.answer(302, b"", {"Location": f"{self.url}/login?next=x"})
            case "denies pictures":
                return request.answer(403, b"<Error/>")
            case "answers pages":
                return request.answer(200, b"<html>", {"Content-Type": "text/html"})
            case "calls pictures binary":
                content_type = "application/octet-stream"
        return request.answer(200, content, {"Content-Type": content_type})

    def _json(self, request: Incoming, body: Any, status: int = 200) -> None:
        request.answer(status, json.dumps(body).encode(), {"Content-Type": "application/json"})


@contextmanager
def flux_endpoint(fault: str = "", model: ServedModel = DEV) -> Iterator[FluxEndpoint]:
    """Serve one."""
    endpoint = FluxEndpoint(fault, model)
    with serving(endpoint.handle) as endpoint.url:
        yield endpoint
        endpoint.over.set()
