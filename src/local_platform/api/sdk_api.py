"""handler.py with the SDK's development API, for programs and web pages of this machine only.

The SDK answers whoever asks, also a page from elsewhere that is open in a browser here. This is a
program of its own because handler.py serves that API on hosts with other names, too.
"""

import runpy
from pathlib import Path
from typing import Any

import uvicorn

from local_platform.api.guards import ThisMachine
from local_platform.processes.surroundings import ROOT

PROGRAM = Path(__file__)


def main() -> None:
    """Run it with the arguments that the SDK knows."""
    serve = uvicorn.run

    def serve_guarded(app: Any, **options: Any) -> None:
        serve(ThisMachine(app), **options)

    uvicorn.run = serve_guarded
    runpy.run_path(str(ROOT / "handler.py"), run_name="__main__")


if __name__ == "__main__":
    main()
