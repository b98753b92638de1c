"""What a file says about how it was made. It is named here, so that nothing else gets in: a file
may be public, and a request may hold what isn't.
"""

from typing import Any

from flux_worker import __version__
from flux_worker.contract.request import ImageRequest
from flux_worker.settings import Settings

EMBEDDED = (
    *("prompt", "negative_prompt", "true_cfg_scale", "width", "height"),
    *("num_inference_steps", "guidance", "seed"),
)
"""The parameters that make the same image again, with the same weights."""


def parameters(request: ImageRequest, settings: Settings) -> dict[str, Any] | None:
    """Return what a file of this request's carries; None where the operator wants nothing in it."""
    if not settings.embed_metadata:
        return None
    given = {name: getattr(request, name) for name in EMBEDDED}
    made_by = {"model": settings.weights_name, "worker": __version__}
    return {name: value for name, value in given.items() if value is not None} | made_by
