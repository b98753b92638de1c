"""Jobs of the local platform, as a client of it waits for them."""

import json
from typing import Any
from urllib.request import urlopen


def get(url: str) -> Any:
    """Return the JSON of an answer."""
    with urlopen(url, timeout=300) as response:
        return json.load(response)


def finished(url: str, job_id: str) -> dict[str, Any]:
    """Wait for a job of the endpoint at this URL, and return its status.

    Raises:
        RuntimeError: it ended in another way than well.
    """
    report: dict[str, Any] = {"status": "IN_QUEUE"}
    while report["status"] in ("IN_QUEUE", "IN_PROGRESS"):
        report = get(f"{url}/status-sync/{job_id}")
    if report["status"] != "COMPLETED":
        raise RuntimeError(f"A job failed: {report}")
    return report
