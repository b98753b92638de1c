"""Runpod's REST v2 for endpoints, as its published description has it: over HTTP, and as strict.

Bodies, answers and problems: https://docs.runpod.io/api-reference-v2/openapi.json, August 2026.
"""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

from loopback import Incoming, serving
from pydantic import BaseModel, ConfigDict, Field, ValidationError

KEY = "rpa_of_the_account"
READING_KEY = "rpa_that_may_read"
CudaVersion = Annotated[str, Field(pattern=r"^\d+\.\d+$")]


class Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


class Gpu(Strict):
    pools: Annotated[list[str], Field(min_length=1)]
    excludedTypes: list[str] = []  # noqa: N815
    count: Annotated[int, Field(ge=1)] = 1
    allowedCudaVersions: list[CudaVersion] = []  # noqa: N815
    minCudaVersion: CudaVersion | None = None  # noqa: N815


class UpdatedGpu(Gpu):
    pools: list[str] | None = None
    minCudaVersion: Annotated[str, Field(pattern=r"^$|^\d+\.\d+$")] | None = None  # noqa: N815


class Workers(Strict):
    min: Annotated[int, Field(ge=0)] = 0
    max: Annotated[int, Field(ge=0)] = 3
    idleTimeout: Annotated[int, Field(ge=1, le=3600)] = 10  # noqa: N815


class QueueDelay(Strict):
    type: Literal["QUEUE_DELAY"]
    queueDelay: Annotated[float, Field(ge=0.5)]  # noqa: N815


class RequestCount(Strict):
    type: Literal["REQUEST_COUNT"]
    requestCount: Annotated[int, Field(ge=1)]  # noqa: N815


class Container(Strict):
    args: str = ""
    disk: Annotated[int, Field(ge=1)] = 20
    ports: list[str] = []
    env: dict[str, str] = {}
    registry: str | None = None
    dataCenterIds: list[str] = []  # noqa: N815
    networkVolumes: list[str] = []  # noqa: N815
    flashboot: Literal["OFF", "FLASHBOOT", "PRIORITY_FLASHBOOT"] = "OFF"
    timeout: int = 300_000


class Create(Container):
    name: Annotated[str, Field(min_length=1)]
    type: Literal["QUEUE", "LOAD_BALANCER"]
    image: str
    gpu: Gpu
    workers: Workers = Workers()
    scaling: QueueDelay | RequestCount


class Update(Container):
    name: Annotated[str, Field(min_length=1)] | None = None
    image: str | None = None
    gpu: UpdatedGpu | None = None
    workers: Workers | None = None
    scaling: QueueDelay | RequestCount | None = None


CATALOG = [
    ("NVIDIA GeForce RTX 4090", "ADA_24", 1.10),
    ("NVIDIA L40", "ADA_48_PRO", 1.75),
    ("NVIDIA L40S", "ADA_48_PRO", 1.90),
    ("NVIDIA A100 80GB PCIe", "AMPERE_80", 2.72),
    ("NVIDIA H100 80GB HBM3", "ADA_80_PRO", 4.18),
    ("NVIDIA H200", "HOPPER_141", 5.58),
    ("NVIDIA RTX 2000 Ada", None, None),
]


@dataclass
class Runpod:
    """The account, and what goes wrong next."""

    endpoints: list[dict[str, Any]] = field(default_factory=list)
    faults: list[tuple[str, Any]] = field(default_factory=list)
    """For the next requests of a method: a status to answer, `drop` before or `lose` after it."""
    asked: list[tuple[str, str, Any]] = field(default_factory=list)
    url: str = ""

    def add(self, **given: Any) -> dict[str, Any]:
        """Create an endpoint, as one of the console's."""
        body = Create.model_validate(
            {
                "name": "flux",
                "type": "QUEUE",
                "image": "you/flux:1",
                "gpu": {"pools": ["ADA_24"]},
                "scaling": {"type": "QUEUE_DELAY", "queueDelay": 4.0},
                **given,
            }
        ).model_dump()
        made = {"id": f"ep{len(self.endpoints)}", "createdAt": "2026-09-01T12:00:00Z", **body}
        if body["scaling"]["type"] == "REQUEST_COUNT":
            del made["workers"]["idleTimeout"]
        self.endpoints.append(made)
        return made

    def bodies(self, method: str) -> list[Any]:
        """What was sent by this method."""
        return [body for each, _, body in self.asked if each == method]

    def handle(self, request: Incoming) -> None:
        data = request.body()
        body = json.loads(data) if data else None
        self.asked.append((request.command, request.path, body))
        fault = None
        if self.faults and self.faults[0][0] == request.command:
            fault = self.faults.pop(0)[1]
        if fault == "drop":
            return request.drop()
        status, answer = self._answer(request, body) if fault in (None, "lose") else fault
        if fault == "lose":
            return request.drop()
        kind = "application/json" if status < 400 else "application/problem+json"
        headers = {"Content-Type": kind, **({"Retry-After": "0"} if status == 429 else {})}
        return request.answer(status, json.dumps(answer).encode(), headers)

    def _answer(self, request: Incoming, body: Any) -> tuple[int, Any]:
        key = request.headers.get("Authorization", "").removeprefix("Bearer ")
        if key not in (KEY, READING_KEY):
            return problem(401, "Unauthorized", "missing bearer token")
        if key == READING_KEY and request.command != "GET":
            return problem(403, "Forbidden", "access denied")
        match request.command, request.path.split("/")[1:]:
            case "GET", ["v2", "catalog", "gpus"]:
                return 200, {"gpus": [gpu(*each) for each in CATALOG]}
            case "GET", ["v2", "serverless"]:
                return 200, {"endpoints": self.endpoints}
            case "POST", ["v2", "serverless"]:
                return self._create(body)
            case method, ["v2", "serverless", endpoint_id]:
                for endpoint in self.endpoints:
                    if endpoint["id"] == endpoint_id:
                        return (200, endpoint) if method == "GET" else self._update(endpoint, body)
        return problem(404, "Not Found", "resource not found")

    def _create(self, body: Any) -> tuple[int, Any]:
        try:
            Create.model_validate(body)
        except ValidationError as error:
            return invalid(error)
        if body["gpu"].get("minCudaVersion") and body["gpu"].get("allowedCudaVersions"):
            return problem(400, "Bad Request", "a set and a floor are mutually exclusive")
        return 201, self.add(**body)

    def _update(self, endpoint: dict[str, Any], body: Any) -> tuple[int, Any]:
        try:
            told = Update.model_validate(body).model_dump(exclude_unset=True)
        except ValidationError as error:
            return invalid(error)
        gpu, merged = told.pop("gpu", {}), dict(endpoint["gpu"])
        if "pools" in gpu:
            merged["excludedTypes"] = []
        merged |= gpu
        if merged["minCudaVersion"] and merged["allowedCudaVersions"]:
            return problem(400, "Bad Request", "a set and a floor are mutually exclusive")
        if set(merged["excludedTypes"]) - {c for c, pool, _ in CATALOG if pool in merged["pools"]}:
            return problem(400, "Bad Request", "not a GPU type in one of pools")
        endpoint |= {**told, "gpu": merged}
        return 200, endpoint


def gpu(name: str, pool: str | None, dollars: float | None) -> dict[str, Any]:
    price = {"secure": 1.0, "community": 1.0}
    return {
        "id": name,
        "pool": pool,
        "price": price if dollars is None else {**price, "serverless": dollars},
    }


def problem(status: int, title: str, detail: str, *errors: str) -> tuple[int, Any]:
    """An error as RFC 9457 has it."""
    more = {"errors": list(errors)} if errors else {}
    return status, {"title": title, "status": status, "detail": detail, **more}


def invalid(error: ValidationError) -> tuple[int, Any]:
    faults = [f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors()]
    return problem(422, "Unprocessable Entity", "Request validation failed.", *faults)


@contextmanager
def standing_in() -> Iterator[Runpod]:
    """Serve an account without endpoints."""
    runpod = Runpod()
    with serving(runpod.handle) as url:
        runpod.url = f"{url}/v2"
        yield runpod
