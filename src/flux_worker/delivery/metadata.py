"""What a file says about how it was made. It is named here, so that nothing else gets in: a file
may be public, and a request may hold what isn't.
"""

import re
from pathlib import Path
from typing import Any

from flux_worker import __version__
from flux_worker.contract.loras import source
from flux_worker.contract.request import ImageRequest
from flux_worker.contract.urls import Url
from flux_worker.settings import Settings

EMBEDDED = (
    *("prompt", "negative_prompt", "true_cfg_scale", "width", "height"),
    *("num_inference_steps", "guidance", "seed"),
)
"""The parameters that make the same image again, with the same weights; and the LoRAs do. Of a
picture it says no more than that there was one: it may be private."""

Maker = dict[str, str]
"""The model and the worker's version."""


def maker(settings: Settings) -> Maker:
    """Return what makes the images: a fine-tune by its repository or the name of its folder."""
    return {"model": _model(settings), "worker": __version__}


def parameters(request: ImageRequest, made_by: Maker) -> dict[str, Any]:
    """Return what a file of this request's carries."""
    given = {name: getattr(request, name) for name in EMBEDDED}
    if request.image is not None:
        given |= {"task": request.task, "strength": request.strength}
    if request.loras:
        given["loras"] = [
            {"path": _public(each.path), "scale": each.scale} for each in request.loras
        ]
    return {name: value for name, value in given.items() if value is not None} | made_by


def _public(path: str) -> str:
    """Leave out a URL's query, where signatures and keys are, and what stands behind it."""
    return re.split("[?#]", path)[0] if isinstance(source(path), Url) else path


def _model(settings: Settings) -> str:
    if settings.model_path is None:
        return settings.model.title
    folder = Path(settings.model_path).expanduser()
    if not folder.is_dir():
        return settings.model_path
    folder = folder.resolve()
    repository = folder.parent.parent.name  # of a revision in a cache of the Hub
    if folder.parent.name == "snapshots" and repository.startswith("models--"):
        return repository.removeprefix("models--").replace("--", "/", 1)
    return folder.name or settings.model.title
