"""Defaults that the Hub's file has for whoever deploys from there, read from it."""

import json
from pathlib import Path
from typing import Any

HUB_FILE = Path(__file__).parents[2] / ".runpod" / "hub.json"


def _config() -> dict[str, Any]:
    config: dict[str, Any] = json.loads(HUB_FILE.read_text(encoding="utf-8"))["config"]
    return config


def disk() -> int:
    """GB of the container's disk."""
    return int(_config()["containerDiskInGb"])


def cuda() -> str:
    """The lowest CUDA version that the image runs with."""
    versions: list[str] = _config()["allowedCudaVersions"]
    return min(versions, key=lambda version: [int(part) for part in version.split(".")])


def init_timeout() -> str:
    """Seconds until a worker that isn't ready counts as unhealthy: RUNPOD_INIT_TIMEOUT."""
    values = {variable["key"]: variable.get("value") for variable in _config()["env"]}
    return str(values["RUNPOD_INIT_TIMEOUT"])
