"""Follows the denoising from step to step: stops it, times it, and tells how far it is."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from threading import Event
from typing import Any

import torch
from diffusers import FluxPipeline
from torch import Tensor

from flux_worker import previews
from flux_worker.errors import GenerationStopped


@dataclass(frozen=True)
class Progress:
    """How far a generation is."""

    step: int
    """Steps done, from 1 on."""
    steps: int
    eta_seconds: float | None = None
    """What the steps that are left will take, as soon as one was timed."""
    preview: str | None = None
    """The newest preview so far, as a JPEG `data:` URL."""

    def body(self) -> dict[str, Any]:
        """Write it as clients see it, in the `output` of a running job's `/status`."""
        percent = round(100 * self.step / self.steps)
        body: dict[str, Any] = {"step": self.step, "steps": self.steps, "percent": percent}
        if self.eta_seconds is not None:
            body["eta_seconds"] = round(self.eta_seconds, 2)
        if self.preview:
            body["preview"] = self.preview
        return body


Report = Callable[[Progress], None]


class Steps:
    """A `callback_on_step_end` for one generation."""

    def __init__(
        self,
        steps: int,
        device: torch.device,
        stop: Event,
        report: Report,
        preview: tuple[int, int] | None = None,
    ) -> None:
        """Follow so many steps on the device.

        Args:
            steps: how many there will be.
            device: where they are computed.
            stop: set from another thread, ends them.
            report: called at the end of each.
            preview: width and height of the image, if previews are to be made.
        """
        self._steps = steps
        self._stop = stop
        self._report = report
        self._ends = _CudaTimes() if device.type == "cuda" else _CpuTimes()
        self._size = preview
        self._preview: str | None = None
        self._before: Tensor | None = None
        self._done = 0

    def __call__(
        self, pipe: FluxPipeline, index: int, _: Any, tensors: dict[str, Any]
    ) -> dict[str, Any]:
        """Take note of a step that ended.

        Raises:
            GenerationStopped: `stop` is set. `pipe.interrupt` would leave the latents as they are
                and go on to decode them.
        """
        self._ends.mark()
        self._done = step = index + 1
        if self._size:
            self._look(pipe, step, tensors["latents"], *self._size)
        ended = step - self._ends.IN_HAND
        eta = self._ends.per_step(ended) * (self._steps - step) if ended else None
        self._report(Progress(step, self._steps, eta, self._preview))
        if self._stop.is_set():
            raise GenerationStopped
        return tensors

    def seconds_per_step(self) -> float:
        """What a step took, once the device has ended them all."""
        return self._ends.per_step(self._done)

    def _look(
        self, pipe: FluxPipeline, step: int, latents: Tensor, width: int, height: int
    ) -> None:
        if self._before is not None and previews.due(step, self._steps):
            sigmas = [float(sigma) for sigma in pipe.scheduler.sigmas[step - 1 : step + 1]]
            clean = previews.clean_estimate(self._before, latents, *sigmas)
            self._preview = previews.picture(pipe, clean, width, height)
        self._before = latents


class _CpuTimes:
    """When steps ended, on a device that the host waits for."""

    IN_HAND = 0

    def __init__(self) -> None:
        self._ends = [time.perf_counter()]

    def mark(self) -> None:
        self._ends.append(time.perf_counter())

    def per_step(self, done: int) -> float:
        return (self._ends[done] - self._ends[0]) / done


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
        return float(self._ends[0].elapsed_time(self._ends[done])) / 1000 / done

    @staticmethod
    def _event() -> torch.cuda.Event:
        event = torch.cuda.Event(enable_timing=True)  # type: ignore[no-untyped-call]
        event.record()
        return event
