"""Keys of other image APIs, sent by clients that were written for those.

What would change the picture or the bill is honoured under its own name, or refused with what to
send instead; all else is ignored.
"""

from collections.abc import Mapping

from flux_worker.contract import spelling, task_choice
from flux_worker.contract.catalog import ServedModel
from flux_worker.contract.foreign_keys import UNSUPPORTED, Unsupported
from flux_worker.contract.values import shown

ALIASES = {
    "output_format": "image_format",
    "guidance_scale": "guidance",
    "steps": "num_inference_steps",
    "num_steps": "num_inference_steps",
}
"""Other names for a parameter, which wins where both are given."""
HARMLESS = frozenset(
    # Without effect on the picture, and near a parameter's name or not.
    "enable_safety_checker maxPollAttempts pollIntervalMillis".split()
)


def refusal(
    key: str,
    value: object,
    given: Mapping[str, object],
    model: ServedModel,
    *,
    with_picture: bool,
) -> str | None:
    """Say why a key of another API can't be honoured, or None where it asks for nothing more.

    Args:
        key: as it was sent.
        value: of that key.
        given: the whole input: repeating a text or a picture under another name asks for nothing
            more.
        model: the served one.
        with_picture: what `brings_picture` says of the input.
    """
    kind = _kind(key)
    if kind is None or kind.is_default(value) or (kind.of_picture and not with_picture):
        return None
    texts = [given.get(name) for name in ("prompt", "negative_prompt", kind.parameter) if name]
    if isinstance(value, str) and value in texts:
        return None
    advice = (
        kind.advice if _has(model, kind.parameter) else f"{model.title} has no {kind.parameter}"
    )
    return f"{shown(key)[1:-1]} is not supported: {advice}"


def brings_picture(given: Mapping[str, object]) -> bool:
    """Whether a picture is in the input, under whatever name."""
    return any(key in task_choice.NAMES or _is_picture(key, given[key]) for key in given)


def is_known(key: str) -> bool:
    """Whether a key belongs to another API, however near it is to a parameter's name."""
    return key in HARMLESS or _kind(key) is not None


def _is_picture(key: str, value: object) -> bool:
    kind = _kind(key)
    if kind is None or kind.of_picture or kind.is_default(value):
        return False
    return kind.parameter in task_choice.NAMES


def _has(model: ServedModel, parameter: str | None) -> bool:
    if parameter is None or parameter in task_choice.taken(model):
        return True
    return getattr(model.parameters, parameter, None) is not None


def _kind(key: str) -> Unsupported | None:
    name = spelling.bare(key)
    return next((kind for kind in UNSUPPORTED if kind.keys.fullmatch(name)), None)
