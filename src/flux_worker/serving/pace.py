"""How long generations took lately, to say when the one that runs will end."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

from flux_worker.contract.request import ImageRequest
from flux_worker.generation.report import Progress

KEPT = 64
"""Kinds of images of which the newest times are kept."""


@dataclass(frozen=True)
class Times:
    """Seconds that one generation took."""

    text_encoding: float
    per_step: float
    decoding: float


class Pace:
    """The newest times of each kind of image: what decides them is its size and its passes."""

    def __init__(self) -> None:
        """Begin with no times."""
        self._times: dict[tuple[int, ...], Times] = {}

    def note(self, request: ImageRequest, seconds: Mapping[str, float]) -> None:
        """Note the stages of a generation that came to its end."""
        kind = _kind(request)
        self._times.pop(kind, None)
        self._times[kind] = Times(
            seconds["text_encoding"], seconds["per_step"], seconds["decoding"]
        )
        if len(self._times) > KEPT:
            del self._times[next(iter(self._times))]

    def remaining(self, request: ImageRequest, progress: Progress | None = None) -> float:
        """Say how many seconds the generation still needs; infinite where nothing is known.

        Args:
            request: what is made.
            progress: how far it is; None before its beginning.
        """
        if (times := self._times.get(_kind(request))) is None:
            return math.inf
        if progress is None:
            steps = times.per_step * request.num_inference_steps
            return times.text_encoding + steps + times.decoding
        eta = progress.eta_seconds
        if eta is None:
            eta = times.per_step * (progress.steps - progress.step)
        return eta + times.decoding


def _kind(request: ImageRequest) -> tuple[int, ...]:
    return request.width, request.height, request.passes
