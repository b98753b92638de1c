"""Two charts side by side as SVG, written by hand: no library, and the same each time."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from html import escape

WIDTH, HEIGHT = 860, 320
LEFT, TOP, INNER_WIDTH, INNER_HEIGHT = 58, 40, 340, 210
GAP = 74
COLOURS = ("#9a9a9a", "#2b6cb0", "#c05621")
STYLE = "font: 12px sans-serif; fill: #333"
COSTS: Mapping[float, str] = {5: "5", 10: "10", 20: "20", 50: "50", 100: "100"}
WAITS: Mapping[float, str] = {0.3: "≤ 0.3", 1: "1", 3: "3", 10: "10", 30: "30", 60: "60"}
LOADS: Mapping[float, str] = {1 / 60: "1 a minute", 1.0: "1 a second", 10.0: "10", 100.0: "100"}
"""Where lines are drawn, and what is written there."""


@dataclass(frozen=True)
class Point:
    """What one load comes to."""

    rate: float
    """Images a second."""
    wait: float
    """Seconds, of 95 %."""
    dollars: float
    """For 1,000 images."""


@dataclass(frozen=True)
class _Axis:
    """A logarithmic axis from 0 to 1."""

    low: float
    high: float

    def place(self, value: float) -> float:
        clipped = min(max(value, self.low), self.high)
        return math.log(clipped / self.low) / math.log(self.high / self.low)


RATES = _Axis(1 / 75, 130.0)
"""Images a second."""


def draw(curves: Mapping[str, Sequence[Point]]) -> str:
    """Return an SVG with each curve's cost and wait over the load, on logarithmic axes."""
    cost, wait = _Axis(3, 100), _Axis(0.3, 60)
    panels = [
        _panel("$ for 1,000 images", cost, COSTS, curves, lambda point: point.dollars),
        _panel("seconds that 95 % wait at most", wait, WAITS, curves, lambda point: point.wait),
    ]
    body = "\n".join(
        f'<g transform="translate({LEFT + number * (INNER_WIDTH + GAP)} {TOP})">\n{panel}\n</g>'
        for number, panel in enumerate(panels)
    )
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" '
        f'width="{WIDTH}" height="{HEIGHT}" style="{STYLE}">\n'
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="#fff"/>\n'
        f"{body}\n{_legend(curves)}\n</svg>\n"
    )


def _panel(
    title: str,
    axis: _Axis,
    ticks: Mapping[float, str],
    curves: Mapping[str, Sequence[Point]],
    value: Callable[[Point], float],
) -> str:
    lines = [f'<text x="0" y="-14" font-weight="bold">{escape(title)}</text>']
    for tick, name in ticks.items():
        y = _down(axis.place(tick))
        lines.append(f'<path d="M0 {y}H{INNER_WIDTH}" stroke="#e2e2e2"/>')
        lines.append(f'<text x="-8" y="{y + 4}" text-anchor="end">{name}</text>')
    for rate, name in LOADS.items():
        x = _across(RATES.place(rate))
        lines.append(f'<path d="M{x} 0V{INNER_HEIGHT}" stroke="#e2e2e2"/>')
        y = INNER_HEIGHT + 18
        lines.append(f'<text x="{x}" y="{y}" text-anchor="middle">{name}</text>')
    for colour, points in zip(COLOURS, curves.values(), strict=False):
        places = [(_across(RATES.place(p.rate)), _down(axis.place(value(p)))) for p in points]
        path = "L".join(f"{x} {y}" for x, y in places)
        lines.append(f'<path d="M{path}" fill="none" stroke="{colour}" stroke-width="2"/>')
        lines += [f'<circle cx="{x}" cy="{y}" r="3.5" fill="{colour}"/>' for x, y in places]
    return "\n".join(lines)


def _legend(curves: Mapping[str, Sequence[Point]]) -> str:
    lines = []
    for number, (colour, name) in enumerate(zip(COLOURS, curves, strict=False)):
        x, y = LEFT + number * 230, TOP + INNER_HEIGHT + 52
        lines.append(f'<path d="M{x} {y - 4}h24" stroke="{colour}" stroke-width="2"/>')
        lines.append(f'<text x="{x + 32}" y="{y}">{escape(name)}</text>')
    return "\n".join(lines)


def _across(share: float) -> float:
    return round(share * INNER_WIDTH, 1)


def _down(share: float) -> float:
    return round((1 - share) * INNER_HEIGHT, 1)
