"""What of a simulated run matters to who waits for it and who pays."""

import math
import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from benchmarks.scaling.simulation import Run


@dataclass(frozen=True)
class Measures:
    """Of one stretch of a run."""

    mean_wait: float
    """Seconds between a job's arrival and its start, like Runpod's `delayTime`."""
    p50_wait: float
    p95_wait: float
    workers: float
    """On average, those that start included, because they are paid for."""
    busy: float
    """Share of the workers' paid time in which they run a job."""
    dollars: float
    """For 1,000 images."""


def measure(run: Run, price: float, since: float = 0.0, until: float = math.inf) -> Measures:
    """Measure a stretch, by default all of the run.

    Args:
        run: at least one of its jobs arrives in the stretch, and one ends there.
        price: of a worker, in dollars a second.
        since: seconds from the run's begin.
        until: the same.
    """
    until = min(until, max(end for _, end in run.lives))
    pairs = zip(run.arrivals, run.started, strict=True)
    waits = sorted(start - arrival for arrival, start in pairs if since <= arrival <= until)
    images = sum(since <= end <= until for end in run.finished)
    paid = _inside(run.lives, since, until)
    busy = _inside(zip(run.started, run.finished, strict=True), since, until)
    return Measures(
        mean_wait=sum(waits) / len(waits),
        p50_wait=_percentile(waits, 0.5),
        p95_wait=_percentile(waits, 0.95),
        workers=paid / (until - since),
        busy=busy / paid,
        dollars=1000 * price * paid / images,
    )


def poisson(rate: float, seconds: float, seed: int = 0) -> list[float]:
    """Draw arrivals as many independent clients make them: `rate` a second, for so many seconds."""
    draw = random.Random(seed)
    arrivals, now = [], draw.expovariate(rate)
    while now < seconds:
        arrivals.append(now)
        now += draw.expovariate(rate)
    return arrivals


def _inside(spans: Iterable[tuple[float, float]], since: float, until: float) -> float:
    return sum(max(0.0, min(end, until) - max(begin, since)) for begin, end in spans)


def _percentile(ascending: Sequence[float], share: float) -> float:
    return ascending[max(0, math.ceil(share * len(ascending)) - 1)]
