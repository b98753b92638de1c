"""How long generations took lately, to say when the one that runs will end."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

from flux_worker.contract.catalog import Task
from flux_worker.contract.request import ImageRequest
from flux_worker.generation.report import Progress

KEPT = 64
"""Kinds of images of which the newest times are kept."""
Kind = tuple[Task, int, int, int]


@dataclass(frozen=True)
class Times:
    """Seconds that one generation took."""

    beginning: float
    """The texts' encoding, and a picture's."""
    per_step: float
    decoding: float


class Pace:
    """The newest times of each kind of image: task, size and passes decide them."""

    def __init__(self) -> None:
        """Begin with no times."""
        self._times: dict[Kind, Times] = {}

    def note(self, request: ImageRequest, seconds: Mapping[str, float]) -> None:
        """Note the stages of a generation that came to its end, if it ran any."""
        if "per_step" not in seconds:
            return
        kind = _kind(request)
        self._times.pop(kind, None)
        per_step = seconds["per_step"]
        before_steps = max(0.0, seconds["denoising"] - per_step * request.steps)
        self._times[kind] = Times(
            seconds["text_encoding"] + before_steps, per_step, seconds["decoding"]
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
            return times.beginning + times.per_step * request.steps + times.decoding
        eta = progress.eta_seconds
        if eta is None:
            eta = times.per_step * (progress.steps - progress.step)
        return eta + times.decoding


def _kind(request: ImageRequest) -> Kind:
    return request.task, request.width, request.height, request.passes
