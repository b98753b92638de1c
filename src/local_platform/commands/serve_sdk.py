"""Serves the SDK's own development API on 127.0.0.1, with demo weights and an S3 server."""

import sys

from local_platform.api import sdk_api
from local_platform.processes import surroundings
from local_platform.processes.api_worker import ApiWorker
from local_platform.processes.ports import port_from_environment
from local_platform.processes.s3_server import S3Server


def main() -> None:
    """Start both, say where they are, and wait."""
    surroundings.isolate()
    with surroundings.ending_in_words():
        port = port_from_environment()
        with (
            S3Server() as s3,
            ApiWorker(s3.environment, port=port, program=sdk_api.PROGRAM) as worker,
        ):
            print(f"\nReady: POST {worker.url}/runsync (Ctrl-C to end).\n", file=sys.stderr)
            sys.exit(worker.wait())


if __name__ == "__main__":
    main()
