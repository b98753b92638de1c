"""The one thread that has the model: it is loaded there, warmed up, and run for job after job.

One thread is the lock on the GPU: a cancelled generation ends before the next begins. And what
torch keeps for a thread, such as what it recorded there, is at hand for every job.
"""

import asyncio
import atexit
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from queue import SimpleQueue
from threading import Event
from typing import Any, TypeVar

from diffusers import FluxPipeline

from flux_worker.adapters.deltas import Layers
from flux_worker.contract.catalog import ServedModel
from flux_worker.contract.request import ImageRequest
from flux_worker.errors import DeviceUnusable
from flux_worker.generation.generator import Generation, Generator, multiple_of
from flux_worker.generation.inputs import Inputs, blank
from flux_worker.generation.report import Progress, Report
from flux_worker.serving.pace import Pace

Result = TypeVar("Result")

LONGEST_END = 30.0
"""Seconds that the end of the process waits for what the thread is at: a step, or loading."""


class Gpu:
    """The model on its thread."""

    def __init__(self, load: Callable[[], FluxPipeline], model: ServedModel) -> None:
        """Load the model, and return when that is done.

        Raises:
            CannotStart: as `load` does.
        """
        self.unusable = asyncio.Event()
        """Set for good when the GPU can't be used again by this process."""
        self._pace = Pace()
        self._model = model
        self._work: SimpleQueue[tuple[Future[Any], Callable[[], Any]] | None] = SimpleQueue()
        # A daemon that is waited for: Ctrl-C ends a worker that is still loading, yet the process
        # never ends in the middle of what torch does, which would abort it.
        thread = threading.Thread(target=self._run, name="gpu", daemon=True)
        atexit.register(self._end, thread)
        thread.start()
        pipe = self._submit(load).result()
        self.layers: Layers = pipe.loras.layers
        """What LoRAs can change."""
        self.multiple = multiple_of(pipe)
        """What sides are generated in multiples of."""
        self._generator = self._submit(lambda: Generator(pipe, model)).result()

    def warm_up(self, request: ImageRequest) -> None:
        """Generate an image for nobody, of blank pictures, and return when that is done.

        Raises:
            GenerationFailed: no image could be made.
        """
        spent = dict[str, float]()
        inputs = blank(request, self._model, self.multiple)
        self._submit(
            lambda: self._generator.generate(request, inputs, Event(), seconds=spent)
        ).result()
        self._pace.note(request, spent)

    async def generate(
        self,
        request: ImageRequest,
        inputs: Inputs,
        report: Report,
        seconds: dict[str, float],
        expect: Callable[[float], None] = lambda seconds: None,
    ) -> Generation:
        """Generate an image when it is this one's turn; a cancelled one stops within a step.

        Args:
            request: what to make.
            inputs: what the request refers to.
            report: called on the model's thread after each step.
            seconds: takes the stages, the wait for the turn included.
            expect: told how many seconds of the model's thread are still needed, again and again.

        Raises:
            GenerationFailed: as `Generator.generate` does.
        """
        stop, asked, spent = Event(), time.perf_counter(), dict[str, float]()
        loop = asyncio.get_running_loop()

        def foresee(progress: Progress | None = None) -> None:
            expect(self._pace.remaining(request, progress))

        def follow(progress: Progress) -> None:
            report(progress)
            loop.call_soon_threadsafe(foresee, progress)

        def on_thread() -> Generation:
            spent["wait_for_gpu"] = time.perf_counter() - asked
            try:
                return self._generator.generate(request, inputs, stop, follow, spent)
            except DeviceUnusable:
                # Here, since nobody hears of it where the job has been cancelled meanwhile.
                loop.call_soon_threadsafe(self.unusable.set)
                raise

        foresee()
        try:
            generation = await asyncio.wrap_future(self._submit(on_thread))
            self._pace.note(request, spent)
            return generation
        except asyncio.CancelledError:
            stop.set()
            raise
        finally:
            seconds |= spent

    def _submit(self, work: Callable[[], Result]) -> "Future[Result]":
        future: Future[Result] = Future()
        self._work.put((future, work))
        return future

    def _run(self) -> None:
        while self._run_next():
            pass

    def _run_next(self) -> bool:
        """Do the next piece of work; False where it is the last."""
        asked = self._work.get()
        if asked is None:
            return False
        future, work = asked
        try:
            if future.set_running_or_notify_cancel():
                future.set_result(work())
        except BaseException as error:
            future.set_exception(error)
        finally:
            # A failure's traceback holds this frame, and with it all tensors of the failed job:
            # what the frame has must not hold the failure in turn.
            del asked, future
        return True

    def _end(self, thread: threading.Thread) -> None:
        self._work.put(None)
        thread.join(LONGEST_END)
