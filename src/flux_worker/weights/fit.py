"""Whether the weights in a folder are what the worker serves."""

from pathlib import Path

from flux_worker.contract.catalog import ServedModel
from flux_worker.weights import kind, layout
from flux_worker.weights.checkpoint import DTYPES, Checkpoint
from flux_worker.weights.layout import LARGE, WEIGHTS

COUNTERS = "I64"
"""The type of positions, which older files of CLIP hold."""


def require(folder: Path, wanted: str, model: ServedModel) -> Checkpoint:
    """Return what a folder holds, if that is the served model, complete and readable.

    Args:
        folder: in diffusers' layout.
        wanted: what the sentences call it.
        model: the served one.

    Raises:
        CannotStart: it holds something else.
        Unusable: files are missing or damaged.
    """
    kind.refuse_others(folder, wanted, model)
    layout.require_complete(folder)
    checkpoint = Checkpoint.read(folder)
    for component in WEIGHTS:
        known = DTYPES.keys() if component in LARGE else {*DTYPES, COUNTERS}
        if other := {tensor.dtype for tensor in checkpoint.tensors[component]} - known:
            raise kind.quantized(wanted, f"its {component} holds {min(other)} numbers")
    return checkpoint
