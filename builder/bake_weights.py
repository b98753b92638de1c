"""Downloads weights into the image while it is built: `python -m builder.bake_weights schnell`."""

import sys

from flux_worker import logs, weights
from flux_worker.catalog import MODELS
from flux_worker.errors import CannotStart
from flux_worker.settings import Settings


def main() -> None:
    """Fill the folder where the worker looks for baked weights."""
    wanted = sys.argv[1]
    logs.configure("INFO")
    repositories: dict[str, str] = {name: model.repository for name, model in MODELS.items()}
    repository = repositories.get(wanted, wanted)
    try:
        weights.download(
            repository, Settings.from_environment(), into=weights.BAKED_WEIGHTS / repository
        )
    except CannotStart as reason:
        sys.exit(str(reason))


if __name__ == "__main__":
    main()
