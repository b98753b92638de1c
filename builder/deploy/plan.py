"""What will be done, in words, before anything is."""

import shlex
from collections.abc import Mapping
from typing import Any

from builder.deploy import costs, environment
from builder.deploy.api import Endpoint
from builder.deploy.body import Change
from builder.deploy.wanted import Wanted
from flux_worker.contract.catalog import MODELS


def creation(body: Mapping[str, Any], wanted: Wanted, today: Mapping[str, float | None]) -> str:
    """Show an endpoint that will be created, and what it costs."""
    gpu, workers, model = body["gpu"], body["workers"], wanted.served
    rows = {
        "image": body["image"],
        "model": model.title,
        "pools": ", ".join(gpu["pools"]),
        "CUDA": f"{gpu['minCudaVersion']} or newer",
        "workers": f"{workers['min']} to {workers['max']}",
        "idle time-out": f"{workers['idleTimeout']} s",
        "execution time-out": f"{body['timeout'] // 1000} s",
        "FlashBoot": body["flashboot"],
        "disk": f"{body['disk']} GB",
        **{name: environment.shown(name, value) for name, value in body["env"].items()},
        "cached model": _cached_model_row(wanted),
    }
    width = max(map(len, rows))
    return "\n".join(
        [
            f"A new endpoint, {body['name']}:",
            "",
            *(f"  {name.ljust(width)}  {value}" for name, value in rows.items()),
            "",
            *costs.lines(gpu["pools"], model, today, workers["max"]),
            *_warnings(body["env"], wanted, workers["min"], gpu["pools"], today),
        ]
    )


def update(
    current: Endpoint,
    changes: list[Change],
    sent: Mapping[str, Any],
    today: Mapping[str, float | None],
) -> str:
    """Show what an update changes, field by field, and what the endpoint costs then."""
    if not changes:
        return f"The endpoint {current['name']} ({current['id']}) is what is wanted: nothing to do."
    width = max(len(change.field) for change in changes)
    pools = sent.get("gpu", {}).get("pools", current["gpu"]["pools"])
    most = sent.get("workers", current["workers"])["max"]
    env = sent.get("env", current.get("env") or {})
    model = MODELS.get(env.get("FLUX_MODEL", "dev"), MODELS["dev"])
    return "\n".join(
        [
            f"The endpoint {current['name']} ({current['id']}) changes in this and nothing else:",
            "",
            *(f"  {c.field.ljust(width)}  {c.old} → {c.new}" for c in changes),
            "",
            *costs.lines(pools, model, today, most),
            *_always_running(sent.get("workers", current["workers"])["min"], pools, today),
        ]
    )


def next_steps(endpoint: Endpoint, wanted: Wanted, env: Mapping[str, str], *, is_new: bool) -> str:
    """Say what is left to do, since REST v2 can't, and how to check one with this `env`."""
    model = cached_model(wanted)
    steps = []
    if model and (is_new or wanted.cached_model):
        token = " For gated weights the form wants a Hugging Face token, too." * _is_gated(wanted)
        steps.append(
            f"Choose the cached model {model}, which REST v2 has no field for: at "
            "https://console.runpod.io/serverless by Manage, Edit Endpoint, Model; or by\n"
            f"    runpodctl serverless update {endpoint['id']} --model-reference {_url(model)}\n"
            f"  Otherwise each new host downloads the weights, in time that is billed.{token}"
        )
    steps.append(
        f"Check it: python -m builder.deploy verify {endpoint['id']} {shlex.join(_to_verify(env))}"
    )
    return "\n".join(f"- {step}" for step in steps)


def _to_verify(env: Mapping[str, str]) -> list[str]:
    """Tell `verify` by its flags what this endpoint has otherwise than by default."""
    flags = ["--model", env.get("FLUX_MODEL") or "dev"]
    if not env.get("BUCKET_ENDPOINT_URL"):
        flags += ["--images", "data"]
    elif env.get("BUCKET_PUBLIC_URL"):
        flags += ["--images", "public"]
    for flag, name in (("--url-ttl", "URL_TTL_SECONDS"), ("--price", "PRICE_PER_MEGAPIXEL")):
        if env.get(name):
            flags += [flag, env[name]]
    return flags


def cached_model(wanted: Wanted) -> str | None:
    """Return the repository to cache: the one told, else that of the weights, if there is one.

    MODEL_PATH's is `owner/name@revision` where Runpod's is `owner/name:revision`.
    """
    if wanted.cached_model:
        return None if wanted.cached_model == "none" else wanted.cached_model
    path = wanted.env.get("MODEL_PATH") or wanted.served.repository
    return None if path.startswith("/") else path.replace("@", ":")


def _url(model: str) -> str:
    """As `runpodctl serverless create --help` writes it: with a revision."""
    return f"https://huggingface.co/{model if ':' in model else f'{model}:main'}"


def _cached_model_row(wanted: Wanted) -> str:
    model = cached_model(wanted)
    return f"{model}, to be chosen afterwards" if model else "none"


def _is_gated(wanted: Wanted) -> bool:
    return "MODEL_PATH" not in wanted.env  # all official repositories are


def _always_running(workers: int, pools: list[str], today: Mapping[str, float | None]) -> list[str]:
    if not workers:
        return []
    day = 24 * workers * max((costs.hour(pool, today) or 0.0 for pool in pools), default=0.0)
    return [f"{workers} always running: up to ${day:.2f} a day at this price, without an image."]


def _warnings(
    env: Mapping[str, str],
    wanted: Wanted,
    always: int,
    pools: list[str],
    today: Mapping[str, float | None],
) -> list[str]:
    said = _always_running(always, pools, today)
    if _is_gated(wanted) and "HF_TOKEN" not in env:
        said.append(
            f"{wanted.served.title} is gated: without HF_TOKEN under [secrets] its weights can't "
            "be downloaded, only taken from a cached model, the image or a volume."
        )
    if "BUCKET_ENDPOINT_URL" not in env:
        said.append("Without a bucket, images are answered as data: URLs.")
    return ["", *said] if said else []
