"""Chooses how the model runs on the card at hand: the best way that fits its memory.

A pure function of the card, the weights and the settings. Sizes that a plan must have room for are
the largest that can be asked for: 1536×1536 with 512 text tokens.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Literal

from flux_worker.errors import CannotStart
from flux_worker.headers import Parameters
from flux_worker.settings import Settings

GIB = 2**30
SIDE = 1536
TOKENS = (SIDE // 16) ** 2 + 512
DENOISING_BYTES_PER_TOKEN = 96_400
DECODING_BYTES_PER_PIXEL = 1_540
"""Activations in bfloat16 at FLUX's own widths, counted on the meta device by a test."""
TILE_SIDE = 512
MARGIN = 3 * GIB // 2
"""For the CUDA context, the libraries' workspaces and what the allocator can't fill."""

Precision = Literal["fp32", "bf16", "fp8"]
Attention = Literal["native", "cudnn", "flash3", "flash4"]


@dataclass(frozen=True)
class Card:
    """A CUDA device, and what is installed for it."""

    name: str
    capability: tuple[int, int]
    """Compute capability, such as (9, 0) for Hopper."""
    memory: int
    """Bytes that can be had, as the driver reports them."""
    flash: frozenset[Attention] = frozenset()
    """The flash-attention packages that are installed: flash3, flash4."""
    compiler: bool = True
    """Whether a C compiler is installed, which Triton needs."""

    @property
    def computes_fp8(self) -> bool:
        """Whether it multiplies fp8 matrices: Ada, Hopper and newer."""
        return self.capability >= (8, 9)


@dataclass(frozen=True)
class Plan:
    """How the model is held and run."""

    precision: Precision
    """Of the linear layers in the transformer's blocks; everything else is bf16, or fp32."""
    fp8_modulation: bool = False
    text_encoder: Literal["resident", "fp8", "offloaded"] = "resident"
    """T5: in bf16, in fp8, or in bf16 in host memory, its layers copied to the card in turn."""
    transformer: Literal["resident", "streamed"] = "resident"
    """Streamed: its blocks wait in host memory and are copied to the card in turn."""
    vae_tiling: bool = False
    attention: Attention = "native"
    compile: bool = False
    fp8_activations: bool = False
    """Whether fp8 is multiplied as such; else only the weights are held in it."""
    peak: int = 0
    """Predicted bytes at the largest size."""

    def __str__(self) -> str:
        fp8 = "activations and weights" if self.fp8_activations else "weights only"
        precision = f"fp8 ({fp8})" if self.precision == "fp8" else self.precision
        if self.fp8_modulation:
            precision += " with the modulation"
        parts = [
            f"transformer {precision}, {self.transformer}",
            f"T5 {self.text_encoder}",
            "VAE tiled" if self.vae_tiling else "VAE whole",
            f"attention {self.attention}",
            "compiled" if self.compile else "not compiled",
        ]
        peak = f"; peak about {self.peak / GIB:.1f} GiB" if self.peak else ""
        return ", ".join(parts) + peak


def for_cpu(settings: Settings) -> Plan:
    """Plan for a CPU, which emulates bfloat16 slower than it computes in float32.

    Raises:
        CannotStart: a setting that only a GPU can follow.
    """
    for name, value, possible in (
        ("PRECISION", settings.precision, ("auto", "fp8")),
        ("ATTENTION", settings.attention, ("auto", "native")),
        ("OFFLOAD", settings.offload, ("auto", "none")),
    ):
        if value not in possible:
            raise CannotStart(f"{name}={value} needs a GPU: on a CPU set it to auto.")
    precision: Precision = "fp8" if settings.precision == "fp8" else "fp32"
    return Plan(precision, compile=bool(settings.compile))


def choose(card: Card, parameters: Parameters, settings: Settings) -> Plan:
    """Choose the first plan, from the best on, that is as the settings say and fits the card.

    Raises:
        CannotStart: there is none; the sentence says what would fit.
    """
    if settings.compile and not card.compiler:
        raise CannotStart("COMPILE=true needs a C compiler: install gcc, or set COMPILE=false.")
    room = card.memory - MARGIN
    attention = _attention(card, settings)

    def plans(settings: Settings) -> list[Plan]:
        asked_for = (plan for plan in _from_best() if _is_asked_for(plan, settings))
        return [_finished(plan, card, parameters, attention, settings) for plan in asked_for]

    wanted = plans(settings)
    for plan in wanted:
        if plan.peak <= room:
            return plan
    least = min(wanted, key=lambda plan: plan.peak, default=None)
    fitting = next((plan for plan in plans(Settings.model_construct()) if plan.peak <= room), None)
    raise CannotStart(
        _needs(least, card, settings) + (f" What fits: {fitting}." if fitting else _nothing_fits())
    )


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


def _is_asked_for(plan: Plan, settings: Settings) -> bool:
    if settings.precision not in ("auto", plan.precision):
        return False
    # Streaming hooks break the graphs that a compiled block must be.
    if settings.compile and plan.transformer == "streamed":
        return False
    moved = {
        "none": plan.text_encoder != "offloaded" and plan.transformer == "resident",
        "text_encoder": plan.text_encoder == "offloaded" and plan.transformer == "resident",
        "transformer": plan.transformer == "streamed",
    }
    return moved.get(settings.offload, True)


def _finished(
    plan: Plan, card: Card, parameters: Parameters, attention: Attention, settings: Settings
) -> Plan:
    compiled = plan.transformer == "resident" and card.compiler and settings.compile is not False
    return replace(
        plan,
        attention=attention,
        compile=compiled,
        # Uncompiled, turning activations into fp8 takes longer than fp8 saves.
        fp8_activations=plan.precision == "fp8" and card.computes_fp8 and compiled,
        peak=predict_peak(plan, parameters),
    )


def predict_peak(plan: Plan, parameters: Parameters) -> int:
    """Predict the most memory that is allocated at once, in bytes."""
    layer = 1 if plan.precision == "fp8" else 2
    modulation = 1 if plan.fp8_modulation else 2
    transformer = (
        parameters.block_layers * layer
        + parameters.modulation * modulation
        + parameters.transformer_rest * 2
    )
    if plan.transformer == "streamed":
        # One block computes while the next is copied.
        transformer = 2 * parameters.largest_block * layer + parameters.transformer_rest * 2
    t5 = {"resident": 2, "fp8": 1, "offloaded": 0}[plan.text_encoder]
    text_encoder = parameters.text_encoder * t5
    always = transformer + text_encoder + parameters.small_components * 2
    side = TILE_SIDE if plan.vae_tiling else SIDE
    decoding = side * side * DECODING_BYTES_PER_PIXEL
    return always + max(TOKENS * DENOISING_BYTES_PER_TOKEN, decoding)


def preferred_attention(card: Card) -> Attention:
    """Return what the card does best with what is installed."""
    major = card.capability[0]
    flash: dict[int, tuple[Attention, ...]] = {9: ("flash3", "flash4"), 10: ("flash4",)}
    installed = (name for name in flash.get(major, ()) if name in card.flash)
    return next(installed, "cudnn" if major in flash else "native")


def _attention(card: Card, settings: Settings) -> Attention:
    if settings.attention == "auto":
        return preferred_attention(card)
    if settings.attention in ("flash3", "flash4") and settings.attention not in card.flash:
        raise CannotStart(
            f"ATTENTION={settings.attention} needs its package, which isn't installed: install it, "
            "or set ATTENTION=auto."
        )
    return settings.attention


def _needs(least: Plan | None, card: Card, settings: Settings) -> str:
    asked = f"PRECISION={settings.precision} with OFFLOAD={settings.offload}"
    if settings.compile:
        asked += " and COMPILE=true"
    if least is None:
        return f"There is no such plan as {asked}."
    return (
        f"The {card.name} has {card.memory / GIB:.1f} GiB, and {asked} needs about "
        f"{(least.peak + MARGIN) / GIB:.1f}."
    )


def _nothing_fits() -> str:
    return " Nothing else fits either: choose a card with more memory."
