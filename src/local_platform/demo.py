"""The whole worker once, on one machine: a prompt goes in, an image URL and its cost come out."""

import io
import json
import os
import sys
import tempfile
from pathlib import Path
from typing import Any
from urllib.request import urlopen

from PIL import Image

from local_platform import surroundings
from local_platform.api_worker import ROOT, ApiWorker
from local_platform.s3_server import S3Server

OUT = ROOT / "out" / "demo.jpg"


def main() -> None:
    """Post the documented request, print the answer, fetch the image and save it."""
    surroundings.shield()
    folder = Path(tempfile.mkdtemp(prefix="flux-demo-"))
    worker_log = folder / "worker.log"
    print("Starting an S3 server and the worker, with the demo weights …", file=sys.stderr)
    try:
        with S3Server() as s3, ApiWorker(s3.environment, None, worker_log, [folder]) as worker:
            answer = worker.post("/runsync", _job())
            print(json.dumps(answer, indent=2), flush=True)
            if answer["status"] != "COMPLETED":
                sys.exit(f"The job failed: {answer.get('error')}")
            with urlopen(answer["output"]["image_url"]) as response:
                data = response.read()
    except RuntimeError as error:
        sys.exit(str(error))
    except KeyboardInterrupt:
        sys.exit(130)
    OUT.parent.mkdir(exist_ok=True)
    OUT.write_bytes(data)
    image = Image.open(io.BytesIO(data))
    print(
        f"Saved {OUT.relative_to(ROOT)}: {image.format} of {image.width}x{image.height} pixels, "
        f"{len(data):,} bytes, ${answer['output']['cost']:.10g}."
    )


def _job() -> dict[str, Any]:
    job: dict[str, Any] = json.loads((ROOT / "test_input.json").read_text())
    if prompt := os.environ.get("PROMPT"):
        job["input"]["prompt"] = prompt
    if os.environ.get("FLUX_MODEL") == "schnell":
        del job["input"][
            "num_inference_steps"
        ]  # the documented request has more than schnell takes
    return job


if __name__ == "__main__":
    main()
