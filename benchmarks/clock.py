"""Times and memory on whatever device there is: CUDA events, or the host's clock on a CPU."""

import gc
import math
import platform
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

import diffusers
import torch

Result = TypeVar("Result")
WARM_UP = 2
SIDE = 8192  # of the matrices in `matmul_rates`; a CPU gets an eighth
SUSTAINED = 3.0  # seconds, about an image's: within them a card comes down to its power limit


class Clock:
    """Measures on one device."""

    def __init__(self, device: torch.device) -> None:
        self._cuda = device.type == "cuda"

    def marks(self) -> "Marks":
        """Start to note points in time."""
        return Marks(self._cuda)

    def timed(self, work: Callable[[], Result]) -> tuple[float, Result]:
        """Run once; return the seconds until the device has ended, and the result."""
        begin = time.perf_counter()
        result = work()
        if self._cuda:
            torch.cuda.synchronize()
        return time.perf_counter() - begin, result

    def each(self, work: Callable[[], object], times: int) -> list[float]:
        """Run so many times, after a warm-up; return the seconds of each."""
        marks = self.marks()
        marks.mark()
        for _ in range(WARM_UP + times):
            work()
            marks.mark()
        return marks.between()[WARM_UP:]

    def reset_peak(self) -> None:
        """Begin to look for the most memory."""
        if self._cuda:
            torch.cuda.reset_peak_memory_stats()

    def peak(self) -> int:
        """Return the most bytes that were allocated at once; 0 on a CPU."""
        return torch.cuda.max_memory_allocated() if self._cuda else 0

    def free(self) -> None:
        """Give back what nobody holds any more."""
        gc.collect()
        if self._cuda:
            torch.cuda.empty_cache()


class Marks:
    """Points in time, on the device's own clock."""

    def __init__(self, cuda: bool) -> None:
        self._cuda = cuda
        self._points: list[torch.cuda.Event | float] = []

    def mark(self) -> None:
        """Note this point in the device's work."""
        if not self._cuda:
            self._points.append(time.perf_counter())
            return
        event = torch.cuda.Event(enable_timing=True)  # type: ignore[no-untyped-call]
        event.record()
        self._points.append(event)

    def at_step(
        self, _: object, __: int, ___: object, kept: dict[str, torch.Tensor]
    ) -> dict[str, torch.Tensor]:
        """Note the end of a pipeline's step: its `callback_on_step_end`."""
        self.mark()
        return kept

    def between(self) -> list[float]:
        """Return the seconds from each point to the next."""
        if self._cuda:
            torch.cuda.synchronize()
        pairs = zip(self._points, self._points[1:], strict=False)
        return [_seconds(before, after) for before, after in pairs]


def _seconds(before: torch.cuda.Event | float, after: torch.cuda.Event | float) -> float:
    if isinstance(before, float) or isinstance(after, float):
        return float(after) - float(before)  # type: ignore[arg-type]
    return float(before.elapsed_time(after)) / 1000


@dataclass(frozen=True)
class Rates:
    """Of a large matrix product: floating-point operations a second."""

    burst: float
    """The best of ten, at the highest clock."""
    sustained: float
    """The mean over three seconds and more without a pause."""

    def __str__(self) -> str:
        sustained, burst = self.sustained / 1e12, self.burst / 1e12
        return f"matrix products {sustained:.3g} TFLOP/s sustained, {burst:.3g} in a burst"


def matmul_rates(device: torch.device, dtype: torch.dtype) -> Rates:
    """Measure a large matrix product, ten times and then for `SUSTAINED` seconds."""
    side = SIDE if device.type == "cuda" else SIDE // 8
    left, right = (torch.randn(side, side, device=device, dtype=dtype) for _ in range(2))
    clock = Clock(device)
    best = min(clock.each(lambda: left @ right, 10))
    sustained = clock.each(lambda: left @ right, math.ceil(SUSTAINED / best))
    return Rates(2 * side**3 / best, 2 * side**3 / statistics.mean(sustained))


def versions(device: torch.device) -> str:
    """Name the card, its driver and the libraries."""
    libraries = f"torch {torch.__version__}, diffusers {diffusers.__version__}"
    if device.type != "cuda":
        return f"CPU {platform.machine()}, {libraries}"
    capability = ".".join(map(str, torch.cuda.get_device_capability(device)))
    return (
        f"{torch.cuda.get_device_name(device)}, compute capability {capability}, "
        f"CUDA {torch.version.cuda}, driver {_driver()}, {libraries}"
    )


def _driver() -> str:
    try:
        with open("/proc/driver/nvidia/version") as file:
            return file.readline().split("  ")[1].strip()
    except (OSError, IndexError):
        return "unknown"
