"""Chooses how the model runs on the card at hand: the best way that fits its memory.

A pure function of the card, the host's memory, the weights, the largest job and the operator's
overrides.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Self

from flux_worker import settings
from flux_worker.engine.card import Card
from flux_worker.engine.memory import (
    HOST_LORAS,
    HOST_MARGIN,
    MARGIN,
    Workload,
    predict_host,
    predict_peak,
)
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


def for_cpu(overrides: Overrides, host: int) -> Plan:
    """Plan for a CPU, which emulates bfloat16 slower than it computes in float32.

    `host` is how many bytes of memory the container may use; one half of it counts as the model's.

    Raises:
        CannotStart: a wish that only a GPU can follow.
    """
    for name, value, possible in (
        ("PRECISION", overrides.precision, ("auto", "fp8", "int8")),
        ("ATTENTION", overrides.attention, ("auto", "native")),
        ("OFFLOAD", overrides.offload, ("auto", "none")),
    ):
        if value not in possible:
            raise CannotStart(f"{name}={value} needs a GPU: on a CPU set it to auto.")
    precision: Precision = "fp32" if overrides.precision == "auto" else overrides.precision
    return Plan(
        precision,
        compile=bool(overrides.compile),
        quantized_activations=precision == "int8",
        host_room=host // 2,
    )


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
            return replace(
                plan,
                room=card.memory - plan.peak - MARGIN,
                host_room=max(0, host - plan.host - HOST_MARGIN - HOST_LORAS),
            )
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
    wish = overrides.precision
    small = wish if wish in ("fp8", "int8") else card.small_precision
    for plan in _from_best(small):
        if not _is_allowed(plan, overrides):
            continue
        compiled = (
            plan.transformer == "resident" and card.compiler and overrides.compile is not False
        )
        multiplied = plan.precision == "int8" or (plan.precision == "fp8" and card.computes_fp8)
        plan = replace(
            plan,
            attention=attention,
            compile=compiled,
            # Uncompiled, quantizing activations takes longer than multiplying them so saves.
            quantized_activations=multiplied and compiled,
        )
        peak, host = predict_peak(plan, counts, workload), predict_host(plan, counts)
        plans.append(replace(plan, peak=peak, host=host))
    return plans


def _from_best(small: Precision) -> Iterator[Plan]:
    """Exact comes before lossy, and nothing is moved before every layer is small.

    But the modulation: it is read once for an image, where T5 makes a new prompt wait and a block
    every step.
    """
    for layers in (Plan("bf16"), Plan(small)):
        for moved in (layers, replace(layers, modulation="offloaded")):
            yield moved
            yield replace(moved, vae_tiling=True)
    held = Plan(small, text_encoder="fp8")
    yield held
    yield replace(held, vae_tiling=True)
    yield replace(held, vae_tiling=True, modulation="offloaded")
    for layers in (Plan("bf16"), Plan(small)):
        tiled = replace(layers, vae_tiling=True, text_encoder="offloaded")
        yield tiled
        yield replace(tiled, modulation="offloaded")
    # In fp8 everywhere: torchao can't pin int8, and what is streamed isn't multiplied as such.
    streamed = Plan("fp8", transformer="streamed", text_encoder="fp8", vae_tiling=True)
    yield streamed
    for layers in (replace(streamed, precision="bf16"), streamed):
        yield replace(layers, text_encoder="offloaded")


def _is_allowed(plan: Plan, overrides: Overrides) -> bool:
    if overrides.precision not in ("auto", plan.precision):
        return False
    # Streaming hooks break the graphs that a compiled block must be.
    if overrides.compile and plan.transformer == "streamed":
        return False
    moved = {
        "none": plan.text_encoder != "offloaded"
        and plan.transformer == plan.modulation == "resident",
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
