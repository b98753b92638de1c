"""Calls in Python."""

from playground.places import RUNPOD
from playground.snippets.call import Call, File
from playground.snippets.literals import in_python
from playground.snippets.template import fill, lines

REQUESTS = """\
«base64»import time
«path»
import requests

URL = «url»
HEADERS = {"Authorization": "Bearer YOUR_API_KEY"}
«data_url»INPUT = {
«input»
}

job = requests.post(
    f"{URL}/«operation»", json={"input": INPUT}, headers=HEADERS, timeout=120
).json()
while job.get("status") in ("IN_QUEUE", "IN_PROGRESS"):
    time.sleep(1)
    job = requests.get(f"{URL}/status/{job['id']}", headers=HEADERS, timeout=30).json()
if job.get("status") != "COMPLETED":
    raise RuntimeError(job.get("error", job))
print(job["output"]["image_url"])
"""

SDK_RUN = """\
«imports»import runpod

runpod.api_key = "YOUR_API_KEY"
«base»endpoint = runpod.Endpoint(«endpoint»)
«data_url»job = endpoint.run(
    {
«input»
    }
)
output = job.output(timeout=3600)  # polls every second, for an hour at most
if job.status() != "COMPLETED":
    report = endpoint.rp_client.get(f"{endpoint.endpoint_id}/status/{job.job_id}")
    raise RuntimeError(report.get("error", report))
print(output["image_url"])
"""

SDK_RUNSYNC = """\
«base64»import time
«path»
import runpod

runpod.api_key = "YOUR_API_KEY"
«base»endpoint = runpod.Endpoint(«endpoint»)
client = endpoint.rp_client  # endpoint.run_sync() would drop the error of a job that fails
«data_url»job = client.post(
    f"{endpoint.endpoint_id}/runsync",
    {
        "input": {
«input»
        }
    },
    timeout=120,
)
while job["status"] in ("IN_QUEUE", "IN_PROGRESS"):
    time.sleep(1)
    job = client.get(f"{endpoint.endpoint_id}/status/{job['id']}")
if job["status"] != "COMPLETED":
    raise RuntimeError(job.get("error", job))
print(job["output"]["image_url"])
"""


DATA_URL = """\


def data_url(content_type, file):  # a request may have 10 MB by /run, 20 MB by /runsync
    return f"data:{content_type};base64,{base64.b64encode(Path(file).read_bytes()).decode()}"


"""


def with_requests(call: Call) -> str:
    """Call by the requests library."""
    return fill(
        REQUESTS,
        url=in_python(call.url),
        operation=call.operation,
        input=_input(call, indent=4),
        **_reading(call),
    )


def with_sdk(call: Call) -> str:
    """Call by Runpod's own package."""
    sync = call.operation == "runsync"
    return fill(
        SDK_RUNSYNC if sync else SDK_RUN,
        base="" if call.base == RUNPOD else f"runpod.endpoint_url_base = {in_python(call.base)}\n",
        endpoint=in_python(call.endpoint),
        input=_input(call, indent=12 if sync else 8),
        **_reading(call),
    )


def _reading(call: Call) -> dict[str, str]:
    """Return what files are read with, by where it stands; nothing where there are none."""
    if not call.pictures:
        return dict.fromkeys(("base64", "path", "imports", "data_url"), "")
    base64, path = "import base64\n", "from pathlib import Path\n"
    imports = f"{base64}{path}\n"
    return {"base64": base64, "path": path, "imports": imports, "data_url": DATA_URL}


def _input(call: Call, indent: int) -> str:
    return lines(
        {**call.parameters, **call.pictures},
        indent,
        lambda name, value: f'"{name}": {_expression(value)},',
    )


def _expression(value: object) -> str:
    if isinstance(value, File):
        return f"data_url({in_python(value.content_type)}, {in_python(value.name)})"
    return in_python(value)
