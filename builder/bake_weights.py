"""Downloads weights into the image while it is built: `python -m builder.bake_weights schnell`."""

import sys

from flux_worker import logs
from flux_worker.contract.catalog import MODELS
from flux_worker.errors import CannotStart
from flux_worker.settings import Settings
from flux_worker.weights.download import download
from flux_worker.weights.layout import split
from flux_worker.weights.lookup import BAKED_WEIGHTS


def main() -> None:
    """Fill the folder where the worker looks for baked weights."""
    wanted = sys.argv[1]
    logs.configure("INFO")
    try:
        settings = Settings.from_environment()
        repository = wanted
        name, _ = split(wanted)
        if model := MODELS.get(name):
            settings = settings.model_copy(update={"flux_model": model.name})
            repository = model.repository + wanted.removeprefix(name)
        download(repository, settings, into=BAKED_WEIGHTS / repository)
    except CannotStart as reason:
        sys.exit(str(reason))


if __name__ == "__main__":
    main()
