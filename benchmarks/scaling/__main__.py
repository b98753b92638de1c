"""How latency and cost of an endpoint on Runpod grow with its load, and which settings to choose.

    python -m benchmarks.scaling [--card H200] [--seconds 3.7] [--price 0.00155] [--cold-start 30]
        [--chart docs/scaling.svg]
    python -m benchmarks.scaling --check [--workers 1] [--jobs 100]

The first simulates, in a few minutes: nothing is rented, nothing is measured. The second compares
the simulation with what real demo workers do behind the local platform.
"""

import argparse
from pathlib import Path

from benchmarks.scaling import chart, check
from benchmarks.scaling.cards import CARDS, COLD_START
from benchmarks.scaling.choice import (
    Choice,
    Endpoint,
    cheapest,
    keeps_up,
    try_out,
)
from benchmarks.scaling.simulation import Settings
from benchmarks.table import markdown

LOADS = {
    "1 a minute": 1 / 60,
    "6 a minute": 0.1,
    "30 a minute": 0.5,
    "2 a second": 2.0,
    "10 a second": 10.0,
    "100 a second": 100.0,
}
DEFAULTS = "Runpod's defaults"
GOALS = {"wait ≤ 60 s": 60.0, "wait ≤ 10 s": 10.0}
"""Of 95 % of the images; the first lets a cold start pass."""
HEADS = (
    *("images", "for", "scaling", "min", "max", "idle s"),
    *("wait p50, s", "p95, s", "workers", "busy", "$ per 1,000"),
)


def main() -> None:
    """Print a table, or the check's."""
    options = _options()
    if options.check:
        check.main(options.workers, options.jobs)
        return
    card = CARDS[options.card]
    seconds, price = options.seconds or card.seconds, options.price or card.price
    endpoint = Endpoint(seconds, price, options.cold_start)
    print(
        f"{options.card}: {seconds:g} s an image"
        f"{'' if options.seconds else f' ({card.source})'}, ${price:g} a second, "
        f"cold start {options.cold_start:g} s{' (assumed)' * (options.cold_start == COLD_START)}\n"
    )
    rows: list[tuple[str, ...]] = []
    curves: dict[str, list[chart.Point]] = {goal: [] for goal in (DEFAULTS, *GOALS)}
    for name, rate in LOADS.items():
        chosen = choices(endpoint, rate)
        for choice in dict.fromkeys(chosen.values()):
            goals = (goal for goal, other in chosen.items() if other == choice)
            rows.append((name, " or ".join(goals), *_cells(choice)))
        for goal, choice in chosen.items():
            point = chart.Point(rate, choice.measures.p95_wait, choice.measures.dollars)
            curves[goal].append(point)
        slow = (goal for goal in curves if goal not in chosen)
        rows += [(name, goal, "too slow", *[""] * len(HEADS[3:])) for goal in slow]
    print(markdown(HEADS, rows))
    if options.chart:
        options.chart.write_text(chart.draw(curves))


def choices(endpoint: Endpoint, rate: float) -> dict[str, Choice]:
    """Return what Runpod's defaults come to, if they keep up, and what each goal needs at least."""
    found = {goal: cheapest(endpoint, rate, longest) for goal, longest in GOALS.items()}
    if keeps_up(endpoint, rate, Settings()):
        found = {DEFAULTS: try_out(endpoint, rate, Settings()), **found}
    return {goal: choice for goal, choice in found.items() if choice}


def _cells(choice: Choice) -> tuple[str, ...]:
    settings, measures = choice.settings, choice.measures
    fixed = settings.min_workers == settings.max_workers
    return (
        "any" if fixed else str(settings.policy),
        str(settings.min_workers),
        str(settings.max_workers),
        "any" if fixed else f"{settings.idle_timeout:g}",
        f"{measures.p50_wait:.1f}",
        f"{measures.p95_wait:.1f}",
        f"{measures.workers:.1f}",
        f"{measures.busy:.0%}",
        f"{measures.dollars:.2f}",
    )


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--card", choices=CARDS, default="H200")
    parser.add_argument("--seconds", type=float, help="an image, as you measured it")
    parser.add_argument("--price", type=float, help="dollars a second, as you are billed")
    parser.add_argument("--cold-start", type=float, default=COLD_START, help="seconds")
    parser.add_argument("--chart", type=Path, help="the SVG file to write")
    parser.add_argument("--check", action="store_true", help="against the local platform")
    parser.add_argument("--workers", type=int, default=1, help="of the check")
    parser.add_argument("--jobs", type=int, default=100, help="of the check, at each rate")
    return parser.parse_args()


if __name__ == "__main__":
    main()
