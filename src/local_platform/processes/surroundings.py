"""What the programs here run in: the demo's settings, not those of the developer's own work."""

import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from flux_worker.contract.catalog import DEV, KONTEXT

ROOT = Path(__file__).resolve().parents[3]
DEMO_WEIGHTS = ROOT / "models" / "demo"
OWN_DEMO_WEIGHTS = {KONTEXT.name: ROOT / "models" / "demo-kontext"}
"""Of the models that those don't fit."""
DEMO_LORAS = ROOT / "models" / "loras"
NOT_FOR_THE_DEMO = ("AWS_", "BUCKET_")


def isolate() -> None:
    """Let nothing on loopback go through a proxy, and no AWS profile be looked for."""
    os.environ["NO_PROXY"] = os.environ["no_proxy"] = "127.0.0.1,localhost"
    os.environ.pop("AWS_PROFILE", None)


def demo_weights(model: str) -> Path:
    """Return the demo weights for a served model, by its name."""
    return OWN_DEMO_WEIGHTS.get(model, DEMO_WEIGHTS)


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
    outer = {k: v for k, v in os.environ.items() if not k.startswith(NOT_FOR_THE_DEMO)}
    given = {**outer, **settings}
    demo = {
        "MODEL_PATH": str(demo_weights(given.get("FLUX_MODEL") or DEV.name)),
        "LORA_DIR": str(DEMO_LORAS),
        "ALLOW_CPU": "1",
        "ALLOW_PRIVATE_ADDRESSES": "true",  # the jobs' own buckets are on loopback, too
    }
    return {**demo, **given}
