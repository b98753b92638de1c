"""Serves the local platform on 127.0.0.1, with demo workers and an S3 server, until Ctrl-C."""

import os
import re
import sys

from flux_worker.contract.catalog import MODELS
from local_platform.api.server import Server
from local_platform.processes import surroundings
from local_platform.processes.ports import check_free, port_from_environment
from local_platform.processes.s3_server import S3Server
from local_platform.processes.surroundings import demo_environment
from local_platform.queue.endpoint import Endpoint


def main() -> None:
    """Start an endpoint for each of MODELS (by default FLUX_MODEL, or dev) and wait."""
    surroundings.isolate()
    models = (os.environ.get("MODELS") or os.environ.get("FLUX_MODEL") or "dev").split(",")
    if unknown := set(models) - set(MODELS):
        sys.exit(
            f"MODELS must be one or several of {','.join(MODELS)}, not {','.join(sorted(unknown))}."
        )
    workers = os.environ.get("WORKERS") or "1"
    if not re.fullmatch(r"[0-9]{1,3}", workers):
        sys.exit(f"WORKERS must be the number of workers for each model, not {workers}.")
    with surroundings.ending_in_words():
        port = port_from_environment()
        check_free(port)
        url = f"http://127.0.0.1:{port}"
        with S3Server() as s3:
            endpoints = [
                Endpoint(
                    MODELS[model].endpoint_id,
                    url,
                    demo_environment({**s3.environment, "FLUX_MODEL": model}),
                )
                for model in dict.fromkeys(models)
            ]
            Server(endpoints, port, int(workers), os.environ.get("LOCAL_API_KEY") or None).run()


if __name__ == "__main__":
    main()
