"""Serves the local platform on 127.0.0.1, with demo workers and an S3 server, until Ctrl-C."""

import os
import sys

import uvicorn

from local_platform import app, surroundings
from local_platform.api_worker import demo_environment
from local_platform.endpoint import Endpoint
from local_platform.ports import check_free, port_from_environment
from local_platform.s3_server import S3Server

ENDPOINT_IDS = {
    "dev": "black-forest-labs-flux-1-dev",
    "schnell": "black-forest-labs-flux-1-schnell",
}
"""The served models by the ids of Runpod's public endpoints."""


def main() -> None:
    """Start an endpoint for each of MODELS (by default FLUX_MODEL, or dev) and wait."""
    surroundings.shield()
    models = (os.environ.get("MODELS") or os.environ.get("FLUX_MODEL") or "dev").split(",")
    if unknown := set(models) - set(ENDPOINT_IDS):
        sys.exit(f"MODELS must be dev, schnell or dev,schnell, not {', '.join(sorted(unknown))}.")
    try:
        port = port_from_environment()
        check_free(port)
        url = f"http://127.0.0.1:{port}"
        with S3Server() as s3:
            endpoints = [
                Endpoint(
                    ENDPOINT_IDS[model],
                    url,
                    demo_environment({**s3.environment, "FLUX_MODEL": model}),
                )
                for model in models
            ]
            for endpoint in endpoints:
                print(f"Ready: POST {url}/v2/{endpoint.id}/runsync", file=sys.stderr)
            workers = int(os.environ.get("WORKERS") or "1")
            platform = app.build(endpoints, workers, os.environ.get("LOCAL_API_KEY") or None)
            uvicorn.run(
                platform,
                host="127.0.0.1",
                port=port,
                log_level="warning",
                timeout_graceful_shutdown=1,  # workers' polls stay open for longer
            )
    except (RuntimeError, ValueError) as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
