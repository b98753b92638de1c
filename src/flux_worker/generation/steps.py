"""Follows the denoising from step to step: stops it, times it, and tells how far it is."""

import time
from threading import Event
from typing import Any

import torch
from diffusers import DiffusionPipeline
from torch import Tensor

from flux_worker.errors import GenerationStopped
from flux_worker.generation import previews
from flux_worker.generation.report import Progress, Report


class StepCallback:
    """A `callback_on_step_end` for one generation.

    How many steps there are, and where among the scheduler's they begin, is the pipeline's affair:
    one that starts from a picture begins in the middle.
    """

    def __init__(
        self,
        device: torch.device,
        stop: Event,
        report: Report,
        preview: tuple[int, int] | None = None,
    ) -> None:
        """Follow steps on the device.

        Args:
            device: where they are computed.
            stop: set from another thread, ends them.
            report: called at the end of each.
            preview: width and height of the image, if previews are to be made.
        """
        self._stop = stop
        self._report = report
        self._ends = _CudaTimes() if device.type == "cuda" else _CpuTimes()
        self._size = preview
        self._preview: str | None = None
        self._before: Tensor | None = None
        self._done = 0

    def __call__(
        self, pipe: DiffusionPipeline, index: int, _: Any, tensors: dict[str, Any]
    ) -> dict[str, Any]:
        """Take note of a step that ended.

        Raises:
            GenerationStopped: `stop` is set. `pipe.interrupt` would leave the latents as they are
                and go on to decode them.
        """
        self._ends.mark()
        self._done = step = index + 1
        steps: int = pipe.num_timesteps
        if self._size and previews.due(step, steps):
            self._preview = self._look(pipe, tensors["latents"], *self._size)
        self._before = tensors["latents"] if self._size else None
        ended = step - self._ends.IN_HAND
        eta = self._ends.per_step(ended) * (steps - ended) if ended else None
        self._report(Progress(step, steps, eta, self._preview))
        if self._stop.is_set():
            raise GenerationStopped
        return tensors

    def seconds_per_step(self) -> float:
        """What a step took, once the device has ended them all."""
        return self._ends.per_step(self._done)

    def _look(
        self, pipe: DiffusionPipeline, latents: Tensor, width: int, height: int
    ) -> str | None:
        if self._before is None:
            return None
        after = pipe.scheduler.step_index
        sigmas = [float(sigma) for sigma in pipe.scheduler.sigmas[after - 1 : after + 1]]
        clean = previews.clean_estimate(self._before, latents, *sigmas)
        return previews.picture(pipe, clean, width, height)


def _first(done: int) -> int:
    """Where to begin to count: before the first step, a picture is encoded."""
    return 1 if done > 1 else 0


class _CpuTimes:
    """When steps ended, on a device that the host waits for."""

    IN_HAND = 0

    def __init__(self) -> None:
        self._ends = [time.perf_counter()]

    def mark(self) -> None:
        self._ends.append(time.perf_counter())

    def per_step(self, done: int) -> float:
        first = _first(done)
        return (self._ends[done] - self._ends[first]) / (done - first)


class _CudaTimes:
    """When steps ended on the GPU, which the host runs ahead of.

    Without a bound the host would have queued all steps in a moment: a stop would come too late
    for every one of them, and all progress at once. So a step's end waits for the end of the one
    before, and the GPU always has one step in hand while the host queues the next.
    """

    IN_HAND = 1

    def __init__(self) -> None:
        self._ends = [self._event()]

    def mark(self) -> None:
        self._ends.append(self._event())
        self._ends[-2].synchronize()

    def per_step(self, done: int) -> float:
        first = _first(done)
        return float(self._ends[first].elapsed_time(self._ends[done])) / 1000 / (done - first)

    @staticmethod
    def _event() -> torch.cuda.Event:
        event = torch.cuda.Event(enable_timing=True)  # type: ignore[no-untyped-call]
        event.record()
        return event
