"""Serves the local platform on 127.0.0.1, with demo workers and an S3 server, until Ctrl-C."""

import os
import sys

from local_platform import surroundings
from local_platform.endpoint import Endpoint
from local_platform.ports import check_free, port_from_environment
from local_platform.s3_server import S3Server
from local_platform.server import Server
from local_platform.surroundings import demo_environment

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
    workers = os.environ.get("WORKERS") or "1"
    if not workers.isdecimal():
        sys.exit(f"WORKERS must be the number of workers for each model, not {workers}.")
    with surroundings.on_a_terminal():
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
                for model in dict.fromkeys(models)
            ]
            Server(endpoints, port, int(workers), os.environ.get("LOCAL_API_KEY") or None).run()


if __name__ == "__main__":
    main()
