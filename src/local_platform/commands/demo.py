"""The whole worker, on one machine: prompts go in, image URLs and costs come out."""

import io
import json
import os
import sys
import tempfile
from pathlib import Path
from typing import Any
from urllib.request import urlopen

from PIL import Image

from local_platform.api import sdk_api
from local_platform.commands.sheet import draw_sheet
from local_platform.processes import surroundings
from local_platform.processes.api_worker import ApiWorker
from local_platform.processes.s3_server import S3Server
from local_platform.processes.surroundings import ROOT

OUT = ROOT / "out" / "demo.jpg"
PROMPTS = (
    "a red circle on a white background",
    "a yellow star on a blue background",
    "a large pink heart on a black background",
    "a small green triangle on an orange background",
)


def main() -> None:
    """Post a request for each prompt, print the answer, fetch the images and save them."""
    surroundings.isolate()
    prompt = os.environ.get("PROMPT")
    prompts = (prompt,) if prompt else PROMPTS
    folder = Path(tempfile.mkdtemp(prefix="flux-demo-"))
    log, program = folder / "worker.log", sdk_api.PROGRAM
    print("Starting an S3 server and the worker, with the demo weights …", file=sys.stderr)
    try:
        with S3Server() as s3, ApiWorker(s3.environment, None, log, [folder], program) as worker:
            files = [_generate(worker, prompt) for prompt in prompts]
    except RuntimeError as error:
        sys.exit(str(error))
    except KeyboardInterrupt:
        sys.exit(130)
    OUT.parent.mkdir(exist_ok=True)
    if prompt:
        OUT.write_bytes(files[0])
    else:
        images = [Image.open(io.BytesIO(file)) for file in files]
        draw_sheet(dict(zip(prompts, images, strict=True))).save(OUT, quality=90)
    saved = Image.open(OUT)
    print(f"Saved {OUT.relative_to(ROOT)}: {saved.format} of {saved.width}x{saved.height} pixels.")


def _generate(worker: ApiWorker, prompt: str) -> bytes:
    job: dict[str, Any] = json.loads((ROOT / "test_input.json").read_text())
    job["input"]["prompt"] = prompt
    answer = worker.post("/runsync", job)
    print(json.dumps(answer, indent=2), flush=True)
    if answer["status"] != "COMPLETED":
        raise RuntimeError(f"The job failed: {answer.get('error')}")
    with urlopen(answer["output"]["image_url"]) as response:
        data: bytes = response.read()
    return data


if __name__ == "__main__":
    main()
