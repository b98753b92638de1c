"""Chooses how the model runs on the card at hand: the best way that fits its memory.

A pure function of the card, the host's memory, the weights, the largest job and the operator's
overrides.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Self

from flux_worker import settings
from flux_worker.engine.card import Card
from flux_worker.engine.memory import HOST_MARGIN, MARGIN, Workload, predict_host, predict_peak
from flux_worker.engine.plan import GIB, Attention, Plan, Precision
from flux_worker.errors import CannotStart
from flux_worker.weights.checkpoint import ParameterCounts


@dataclass(frozen=True)
class Overrides:
    """What the operator decides in the planner's place; by default nothing."""

    precision: settings.Precision = "auto"
    offload: settings.Offload = "auto"
    attention: settings.Attention = "auto"
    compile: bool | None = None

    @classmethod
    def of(cls, given: settings.Settings) -> Self:
        """Take them from the settings."""
        return cls(given.precision, given.offload, given.attention, given.compile)


def for_cpu(overrides: Overrides) -> Plan:
    """Plan for a CPU, which emulates bfloat16 slower than it computes in float32.

    Raises:
        CannotStart: a wish that only a GPU can follow.
    """
    for name, value, possible in (
        ("PRECISION", overrides.precision, ("auto", "fp8")),
        ("ATTENTION", overrides.attention, ("auto", "native")),
        ("OFFLOAD", overrides.offload, ("auto", "none")),
    ):
        if value not in possible:
            raise CannotStart(f"{name}={value} needs a GPU: on a CPU set it to auto.")
    precision: Precision = "fp8" if overrides.precision == "fp8" else "fp32"
    return Plan(precision, compile=bool(overrides.compile))


def choose(
    card: Card, host: int, counts: ParameterCounts, workload: Workload, overrides: Overrides
) -> Plan:
    """Choose the first plan, from the best on, that is as wished and fits the card and the host.

    `host` is how many bytes of memory the container may use.

    Raises:
        CannotStart: there is none; the sentence says what would fit.
    """
    if overrides.compile and not card.compiler:
        raise CannotStart("COMPILE=true needs a C compiler: install gcc, or set COMPILE=false.")

    def fits(plan: Plan) -> bool:
        waits = plan.host + HOST_MARGIN if plan.host else 0
        return _fits_card(plan, card) and waits <= host

    wanted = _plans(card, counts, workload, overrides)
    for plan in wanted:
        if fits(plan):
            return plan
    possible = _plans(card, counts, workload, Overrides(attention=overrides.attention))
    fitting = next((f"What fits: {plan}." for plan in possible if fits(plan)), None)
    raise CannotStart(
        f"{_needs(wanted, card, host, overrides)} "
        f"{fitting or 'Nothing else fits either: choose a card with more memory.'}"
    )


def _fits_card(plan: Plan, card: Card) -> bool:
    return plan.peak + MARGIN <= card.memory


def _plans(
    card: Card, counts: ParameterCounts, workload: Workload, overrides: Overrides
) -> list[Plan]:
    """Return all plans that are as wished, from the best on, whether they fit or not."""
    attention = _attention(card, overrides)
    plans = []
    for plan in _from_best():
        if not _is_allowed(plan, overrides):
            continue
        compiled = (
            plan.transformer == "resident" and card.compiler and overrides.compile is not False
        )
        plans.append(
            replace(
                plan,
                attention=attention,
                compile=compiled,
                # Uncompiled, turning activations into fp8 takes longer than fp8 saves.
                fp8_activations=plan.precision == "fp8" and card.computes_fp8 and compiled,
                peak=predict_peak(plan, counts, workload),
                host=predict_host(plan, counts),
            )
        )
    return plans


def _from_best() -> Iterator[Plan]:
    """Nothing is moved before every layer is in fp8; apart from that exact comes before lossy."""
    bf16, fp8 = Plan("bf16"), Plan("fp8")
    yield bf16
    yield replace(bf16, vae_tiling=True)
    yield fp8
    yield replace(fp8, vae_tiling=True)
    yield replace(fp8, text_encoder="fp8")
    yield replace(fp8, text_encoder="fp8", vae_tiling=True)
    small = replace(fp8, text_encoder="fp8", vae_tiling=True, fp8_modulation=True)
    yield small
    for layers in (bf16, fp8, small):
        yield replace(layers, vae_tiling=True, text_encoder="offloaded")
    yield replace(small, transformer="streamed")
    for layers in (bf16, small):
        tiled = replace(layers, vae_tiling=True, text_encoder="offloaded")
        yield replace(tiled, transformer="streamed")


def _is_allowed(plan: Plan, overrides: Overrides) -> bool:
    if overrides.precision not in ("auto", plan.precision):
        return False
    # Streaming hooks break the graphs that a compiled block must be.
    if overrides.compile and plan.transformer == "streamed":
        return False
    moved = {
        "none": plan.text_encoder != "offloaded" and plan.transformer == "resident",
        "text_encoder": plan.text_encoder == "offloaded" and plan.transformer == "resident",
        "transformer": plan.transformer == "streamed",
    }
    return moved.get(overrides.offload, True)


def _attention(card: Card, overrides: Overrides) -> Attention:
    wanted = overrides.attention
    if wanted == "auto":
        return card.best_attention
    if wanted in ("flash3", "flash4") and wanted not in card.flash:
        raise CannotStart(
            f"ATTENTION={wanted} needs its package, which isn't installed: install it, or set "
            "ATTENTION=auto."
        )
    return wanted


def _needs(wanted: list[Plan], card: Card, host: int, overrides: Overrides) -> str:
    asked = f"PRECISION={overrides.precision} with OFFLOAD={overrides.offload}"
    if overrides.compile:
        asked += " and COMPILE=true"
    if not wanted:
        return f"There is no such plan as {asked}."
    waiting = [plan.host for plan in wanted if _fits_card(plan, card)]
    if waiting:
        return (
            f"The container has {host / GIB:.1f} GiB of host memory, and {asked} needs about "
            f"{(min(waiting) + HOST_MARGIN) / GIB:.1f} beside the {card.name}."
        )
    least = min(plan.peak for plan in wanted) + MARGIN
    return (
        f"The {card.name} has {card.memory / GIB:.1f} GiB, and {asked} needs about "
        f"{least / GIB:.1f}."
    )
