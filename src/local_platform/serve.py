"""Serves the worker's API on 127.0.0.1, with the demo weights and an S3 server, until Ctrl-C."""

import os
import sys
from contextlib import suppress

from local_platform.api_worker import ApiWorker
from local_platform.s3_server import S3Server


def main() -> None:
    """Start both, say where they are, and wait."""
    port = int(os.environ.get("PORT", "8000"))
    with (
        suppress(KeyboardInterrupt),
        S3Server() as s3,
        ApiWorker(s3.environment, port=port) as worker,
    ):
        print(f"\nReady: POST {worker.url}/runsync (Ctrl-C to end).\n", file=sys.stderr)
        worker.wait()


if __name__ == "__main__":
    main()
