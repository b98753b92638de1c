"""From what is wanted to what REST v2 takes, and what that changes.

Fields: CreateEndpointRequest and UpdateEndpointRequest of
https://docs.runpod.io/api-reference-v2/serverless/create-a-serverless-endpoint and
…/update-a-serverless-endpoint. Both refuse fields that they don't name. A cached model is none of
them: `plan.next_steps` says how to choose it. Whether an update keeps it isn't written.
"""

import re
from dataclasses import dataclass, field
from typing import Any

from builder.deploy import costs, environment, hub_file
from builder.deploy.api import Endpoint, Gpu
from builder.deploy.errors import CannotDeploy
from builder.deploy.wanted import Wanted

FLASHBOOT = {"off": "OFF", "on": "FLASHBOOT", "priority": "PRIORITY_FLASHBOOT"}
QUEUE_DELAY = {"type": "QUEUE_DELAY", "queueDelay": 4}
"""How Runpod scales unless told otherwise: another worker where a job waits for 4 seconds."""


@dataclass(frozen=True)
class Change:
    """A field of an endpoint, as it is and as it will be."""

    field: str
    old: str
    new: str


def _with_defaults(wanted: Wanted) -> Wanted:
    """Fill in what a new endpoint has where nothing is said.

    Raises:
        CannotDeploy: the name or the image is missing, which nobody can guess.
    """
    for asked in ("name", "image"):
        if getattr(wanted, asked) is None:
            raise CannotDeploy(f"Give the endpoint's {asked}: in the file, or by --{asked}.")
    defaults = {
        "model": "dev",
        "pools": costs.default_pools(),
        "workers_min": 0,
        "workers_max": max(3, wanted.workers_min or 0),
        "idle_timeout": 5,
        "execution_timeout": 600,
        "flashboot": "on",
        "disk": hub_file.disk(),
        "cuda": hub_file.cuda(),
    }
    given = {k: v for k, v in wanted.model_dump().items() if v is not None}
    env = {"RUNPOD_INIT_TIMEOUT": hub_file.init_timeout(), **wanted.env}
    return Wanted.model_validate({**defaults, **given, "env": env})


def creation(wanted: Wanted) -> dict[str, Any]:
    """Return the body that creates an endpoint.

    Raises:
        CannotDeploy: a variable of the worker is unknown or wrong.
    """
    full = _with_defaults(wanted)
    variables = environment.environment(full)
    environment.check(variables)
    return {
        "name": full.name,
        "type": "QUEUE",
        "image": full.image,
        "disk": full.disk,
        "env": variables,
        "gpu": {"pools": full.pools, "count": 1, "minCudaVersion": full.cuda},
        "workers": {
            "min": full.workers_min,
            "max": full.workers_max,
            "idleTimeout": full.idle_timeout,
        },
        "scaling": QUEUE_DELAY,
        "timeout": _milliseconds(full.execution_timeout),
        "flashboot": FLASHBOOT[full.flashboot or "on"],
    }


@dataclass
class Patch:
    """What an update sends, and what of it is a change."""

    body: dict[str, Any] = field(default_factory=dict)
    changes: list[Change] = field(default_factory=list)

    def send(self, path: str, value: Any) -> None:
        """Put a value into the body, at a path of keys between dots."""
        *parents, last = path.split(".")
        inner = self.body
        for parent in parents:
            inner = inner.setdefault(parent, {})
        inner[last] = value

    def change(self, path: str, old: Any, new: Any) -> None:
        """Send what is wanted where it differs from what is there."""
        if new is not None and old != new:
            self.send(path, new)
            self.changes.append(Change(path, _text(old), _text(new)))


def update(wanted: Wanted, current: Endpoint, gpus: list[Gpu], *, rename: bool) -> Patch:
    """Return what makes an endpoint that which is wanted.

    What isn't wanted explicitly stays, settings that this program doesn't know included.

    Args:
        wanted: what the file and the flags say.
        current: the endpoint, as the API shows it.
        gpus: the catalog, which tells the pools of excluded cards.
        rename: whether a name that differs is a new one.

    Raises:
        CannotDeploy: it can't become that.
    """
    if current.get("type", "QUEUE") != "QUEUE" or not current.get("gpu"):
        raise CannotDeploy(
            f"The endpoint {current['id']} is a load balancer's or runs on CPUs: neither can be "
            "changed afterwards, so create another one."
        )
    patch = Patch()
    if rename:
        patch.change("name", current["name"], wanted.name)
    patch.change("image", current.get("image"), wanted.image)
    patch.change("disk", current.get("disk"), wanted.disk)
    patch.change("timeout", current.get("timeout"), _milliseconds(wanted.execution_timeout))
    flashboot = FLASHBOOT[wanted.flashboot] if wanted.flashboot else None
    patch.change("flashboot", current.get("flashboot"), flashboot)
    _update_gpu(patch, wanted, current["gpu"], gpus)
    _update_workers(patch, wanted, current)
    _update_env(patch, wanted, current.get("env") or {})
    return patch


def _update_gpu(patch: Patch, wanted: Wanted, now: dict[str, Any], gpus: list[Gpu]) -> None:
    patch.change("gpu.pools", now["pools"], wanted.pools)
    excluded = now.get("excludedTypes") or []
    if excluded and "gpu" in patch.body:
        # Pools that come without exclusions clear them, and a card of another pool is refused.
        pool_of = {gpu.id: gpu.pool for gpu in gpus}
        kept = [card for card in excluded if pool_of.get(card.strip()) in (wanted.pools or [])]
        patch.send("gpu.excludedTypes", kept)
        patch.change("gpu.excludedTypes", excluded, kept)
    patch.change("gpu.minCudaVersion", now.get("minCudaVersion"), wanted.cuda)
    if wanted.cuda and now.get("allowedCudaVersions"):
        patch.change("gpu.allowedCudaVersions", now["allowedCudaVersions"], [])


def _update_workers(patch: Patch, wanted: Wanted, current: Endpoint) -> None:
    now = current["workers"]
    patch.change("workers.min", now["min"], wanted.workers_min)
    patch.change("workers.max", now["max"], wanted.workers_max)
    if current["scaling"]["type"] == "QUEUE_DELAY":
        patch.change("workers.idleTimeout", now.get("idleTimeout"), wanted.idle_timeout)
    elif wanted.idle_timeout is not None:
        raise CannotDeploy(
            "This endpoint scales by its number of requests, and has no idle time-out then: leave "
            "idle_timeout out."
        )
    if "workers" in patch.body:
        # Whether one of them alone leaves the others isn't written: all are sent.
        workers = patch.body["workers"] = {**now, **patch.body["workers"]}
        if workers["min"] > workers["max"]:
            raise CannotDeploy(
                f"The endpoint would have at least {workers['min']} workers and at most "
                f"{workers['max']}: give both, workers_min and workers_max."
            )


def _update_env(patch: Patch, wanted: Wanted, now: dict[str, str]) -> None:
    """Put the wanted variables over the endpoint's, which an update replaces all at once."""
    variables = environment.environment(wanted)
    differ = {name: value for name, value in variables.items() if now.get(name) != value}
    if not differ:
        return
    if masked := [
        n for n, v in now.items() if n not in differ and re.fullmatch(r"[*•]{3,}", str(v))
    ]:
        raise CannotDeploy(
            f"Runpod doesn't show what {', '.join(masked)} is, and an update would overwrite it: "
            "make it a secret and name it under [secrets], or change variables in the console."
        )
    patch.send("env", {**now, **variables})
    environment.check(patch.body["env"])
    patch.changes += [
        Change(
            f"env.{name}", environment.shown(name, now.get(name)), environment.shown(name, value)
        )
        for name, value in differ.items()
    ]


def _milliseconds(seconds: int | None) -> int | None:
    return None if seconds is None else seconds * 1000


def _text(value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(map(str, value)) or "(none)"
    return "(not set)" if value in (None, "") else str(value)
