"""Defaults that the Hub's file has for whoever deploys from there, read from it."""

import json
from pathlib import Path
from typing import Any

HUB_FILE = Path(__file__).parents[2] / ".runpod" / "hub.json"
INIT_TIMEOUT = "1800"
"""Seconds, where the Hub's file says nothing: Runpod's own 7 minutes can be too short for a first
download or compilation (https://docs.runpod.io/serverless/development/optimization)."""


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
    for variable in _config()["env"]:
        if variable["key"] == "RUNPOD_INIT_TIMEOUT":
            told = variable.get("value") or variable.get("input", {}).get("default")
            return str(told or INIT_TIMEOUT)
    return INIT_TIMEOUT
