"""Serves the worker's API on 127.0.0.1, with the demo weights and an S3 server, until Ctrl-C."""

import os
import sys

from local_platform import surroundings
from local_platform.api_worker import ApiWorker
from local_platform.s3_server import S3Server


def main() -> None:
    """Start both, say where they are, and wait."""
    surroundings.shield()
    port = os.environ.get("PORT") or "8000"
    if not port.isdecimal() or not 0 < int(port) < 65536:
        sys.exit(f"PORT must be a number from 1 to 65535, not {port}.")
    try:
        with S3Server() as s3, ApiWorker(s3.environment, port=int(port)) as worker:
            print(f"\nReady: POST {worker.url}/runsync (Ctrl-C to end).\n", file=sys.stderr)
            sys.exit(worker.wait())
    except RuntimeError as error:
        sys.exit(str(error))
    except KeyboardInterrupt:
        sys.exit(0)


if __name__ == "__main__":
    main()
