"""Which settings to choose for a load: many are simulated with the same arrivals."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache

from benchmarks.scaling.measures import Measures, measure, poisson
from benchmarks.scaling.simulation import QueueDelay, RequestCount, Settings, simulate

WARM_UP = 900.0
"""Seconds that aren't measured: the backlog of the first cold start must be over."""
LEAST_SECONDS, LEAST_IMAGES = 600.0, 3000
"""How long is measured."""
SPARE = (0.5, 1, 2, 4)
"""Workers above the load, in square roots of it: what queueing theory asks for grows like that."""
MORE = 1.1
"""Times the load: what is chosen must hold there, too."""
IDLE_TIMEOUTS = (5.0, 30.0, 120.0)
POLICIES = (QueueDelay(4.0), RequestCount(1), RequestCount(4))


@dataclass(frozen=True)
class Endpoint:
    """What settings can't change."""

    seconds: float
    """For an image."""
    price: float
    """Dollars a second, of each worker."""
    cold_start: float
    """Seconds."""


@dataclass(frozen=True)
class Choice:
    """Settings, and what they come to."""

    settings: Settings
    measures: Measures


def keeps_up(endpoint: Endpoint, rate: float, settings: Settings) -> bool:
    """Whether the queue has an end, at so many images a second."""
    return rate * endpoint.seconds < settings.max_workers


@cache
def try_out(endpoint: Endpoint, rate: float, settings: Settings) -> Choice:
    """Simulate settings at so many images a second."""
    until = WARM_UP + max(LEAST_SECONDS, LEAST_IMAGES / rate)
    arrivals = poisson(rate, until)
    each = [endpoint.seconds] * len(arrivals)
    run = simulate(arrivals, each, settings, endpoint.cold_start)
    return Choice(settings, measure(run, endpoint.price, WARM_UP, until))


def cheapest(endpoint: Endpoint, rate: float, longest_wait: float) -> Choice | None:
    """Choose by price what lets 95 % of the jobs wait for at most so many seconds.

    The wait must hold with `MORE` images, too: where all just fits, a queue takes hours to grow.
    """
    tried = [try_out(endpoint, rate, each) for each in candidates(endpoint, rate)]
    fitting = (
        choice
        for choice in sorted(tried, key=_cents_then_wait)
        if choice.measures.p95_wait <= longest_wait
        and try_out(endpoint, rate * MORE, choice.settings).measures.p95_wait <= longest_wait
    )
    return next(fitting, None)


def candidates(endpoint: Endpoint, rate: float) -> Iterator[Settings]:
    """Make the settings that are tried at so many images a second."""
    busy = rate * endpoint.seconds
    peak = MORE * busy
    for most in sorted({math.floor(peak + spare * math.sqrt(peak)) + 1 for spare in SPARE}):
        yield Settings(min_workers=most, max_workers=most)
        for least in sorted({0, math.ceil(busy / 2), math.ceil(peak)} - {most}):
            for policy in POLICIES:
                for timeout in IDLE_TIMEOUTS:
                    yield Settings(policy, least, most, timeout)


def _cents_then_wait(choice: Choice) -> tuple[float, float]:
    return round(choice.measures.dollars, 2), choice.measures.p95_wait
