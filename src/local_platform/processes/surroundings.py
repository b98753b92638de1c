"""What the programs here run in: the demo's settings, not those of the developer's own work."""

import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
DEMO_WEIGHTS = ROOT / "models" / "demo"
DEMO_LORAS = ROOT / "models" / "loras"
NOT_FOR_THE_DEMO = ("AWS_", "BUCKET_")


def isolate() -> None:
    """Let nothing on loopback go through a proxy, and no AWS profile be looked for."""
    os.environ["NO_PROXY"] = os.environ["no_proxy"] = "127.0.0.1,localhost"
    os.environ.pop("AWS_PROFILE", None)


@contextmanager
def ending_in_words() -> Iterator[None]:
    """End the program with a sentence where it can't start, and quietly on Ctrl-C."""
    try:
        yield
    except (RuntimeError, ValueError) as error:
        sys.exit(str(error))
    except KeyboardInterrupt:
        sys.exit(0)


def demo_environment(settings: Mapping[str, str]) -> dict[str, str]:
    """Return this process's environment, with the demo weights and LoRAs on a CPU unless it says
    otherwise.

    Buckets, credentials and profiles of the developer's own have no business here.

    Args:
        settings: what wins over the environment.
    """
    demo = {
        "MODEL_PATH": str(DEMO_WEIGHTS),
        "LORA_DIR": str(DEMO_LORAS),
        "ALLOW_CPU": "1",
        "ALLOW_PRIVATE_ADDRESSES": "true",  # the jobs' own buckets are on loopback, too
    }
    outer = {k: v for k, v in os.environ.items() if not k.startswith(NOT_FOR_THE_DEMO)}
    return {**demo, **outer, **settings}
