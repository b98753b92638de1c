"""How the model runs on each card."""

from dataclasses import replace

import pytest
from cards import CARDS, FLUX, card
from conftest import ROOT

from flux_worker.contract.catalog import DEV
from flux_worker.engine import planner
from flux_worker.engine.card import Card
from flux_worker.engine.memory import HOST_LORAS, HOST_MARGIN, MARGIN, Workload
from flux_worker.engine.plan import GIB, Plan
from flux_worker.engine.planner import Overrides
from flux_worker.errors import CannotStart
from flux_worker.settings import Settings

LARGEST = Workload.of(DEV)
HOST = 200 * GIB


def choose(name, on=None, workload=LARGEST, host=HOST, **overrides):
    return planner.choose(on or card(name), host, FLUX, workload, Overrides(**overrides))


@pytest.mark.parametrize("name", ["A100 40 GB", "A40", "A6000", "L40S", "A100 80 GB", "H100"])
def test_from_40_gb_on_everything_is_exact_and_resident(name):
    chosen = choose(name)
    assert (chosen.precision, chosen.text_encoder, chosen.transformer) == (
        *("bf16", "resident", "resident"),
    )
    assert not chosen.vae_tiling
    assert chosen.compile


@pytest.mark.parametrize("name", ["RTX 6000 Blackwell", "H200", "B200"])
def test_a_big_card_is_exact_unless_told_otherwise(name):
    assert choose(name).precision == "bf16"
    chosen = choose(name, precision="fp8")
    assert (chosen.precision, chosen.text_encoder, chosen.modulation) == (
        *("fp8", "resident", "resident"),
    )


def test_at_32_gb_everything_is_exact_and_the_modulation_waits_in_host_memory():
    chosen = choose("RTX 5090")
    assert (chosen.precision, chosen.modulation) == ("bf16", "offloaded")
    assert (chosen.text_encoder, chosen.transformer) == ("resident", "resident")
    in_fp8 = choose("RTX 5090", precision="fp8")
    assert (in_fp8.quantized_activations, in_fp8.modulation) == (True, "resident")


@pytest.mark.parametrize(
    ("name", "precision"),
    [("L4", "fp8"), ("RTX 4090", "fp8"), ("RTX 3090", "int8")],  # Ampere has no fp8 units
)
def test_at_24_gb_only_the_blocks_are_small_and_the_modulation_waits_in_host_memory(
    name, precision
):
    chosen = choose(name)
    assert (chosen.precision, chosen.text_encoder, chosen.transformer) == (
        *(precision, "resident", "resident"),
    )
    assert chosen.modulation == "offloaded"
    assert chosen.quantized_activations


def test_at_24_gb_exact_is_to_be_had_for_a_slower_t5():
    chosen = choose("RTX 4090", precision="bf16")
    assert (chosen.text_encoder, chosen.modulation) == ("offloaded", "offloaded")
    assert chosen.transformer == "resident"
    assert chosen.compile


def test_at_16_gb_t5_waits_in_host_memory_too():
    chosen = choose("RTX 4080")
    assert (chosen.precision, chosen.text_encoder, chosen.transformer) == (
        *("fp8", "offloaded", "resident"),
    )
    assert chosen.modulation == "offloaded"
    assert chosen.compile


def test_a_smaller_card_gets_its_blocks_one_by_one():
    chosen = choose("12 GB", Card("12 GB", (8, 9), int(11.6 * GIB)))
    assert (chosen.precision, chosen.transformer) == ("fp8", "streamed")
    assert not chosen.compile
    assert not chosen.quantized_activations


def row(name):
    chosen = choose(name)
    vae = "tiled" if chosen.vae_tiling else "whole"
    sizes = (f"{CARDS[name][1]:.1f}", f"{chosen.peak / GIB:.1f}")
    held = (chosen.precision, chosen.modulation, chosen.text_encoder)
    cells = (name, sizes[0], *held, vae, chosen.attention, sizes[1])
    return f"| {' | '.join(cells)} |"


@pytest.mark.parametrize("name", CARDS)
def test_the_documented_plan_is_the_one_that_is_chosen(name):
    assert row(name) in (ROOT / "docs/performance.md").read_text().splitlines()


def test_every_plan_fits_the_card_with_room_to_spare():
    for name in CARDS:
        chosen = choose(name)
        assert chosen.peak + MARGIN <= card(name).memory, name


def test_what_is_asked_for_is_done():
    assert choose("H100", attention="cudnn").attention == "cudnn"
    assert not choose("H100", compile=False).compile
    assert choose("H100", offload="text_encoder").text_encoder == "offloaded"
    assert choose("H100", offload="transformer").transformer == "streamed"
    assert choose("RTX 4080", precision="bf16").transformer == "streamed"


@pytest.mark.parametrize(
    ("name", "settings", "says"),
    [
        (
            "RTX 4090",
            {"precision": "bf16", "offload": "none"},
            r"The RTX 4090 has 23\.5 GiB, and PRECISION=bf16 with OFFLOAD=none needs about 34\.\d\."
            r" What fits: transformer fp8",
        ),
        ("RTX 4080", {"offload": "none"}, r"needs about 22\.\d\. What fits: .*T5 offloaded"),
        ("H100", {"attention": "flash3"}, "needs its package"),
        ("H100", {"offload": "transformer", "compile": True}, "There is no such plan as .*COMPILE"),
    ],
)
def test_what_is_impossible_is_said_with_what_fits(name, settings, says):
    with pytest.raises(CannotStart, match=says):
        choose(name, **settings)


def test_what_fits_is_said_up_to_the_last_byte():
    best = choose("RTX 4080")
    for memory, says in (
        (best.peak + MARGIN, "resident, modulation offloaded, T5 offloaded"),
        (best.peak + MARGIN - 1, "streamed, T5 fp8"),
    ):
        small = replace(card("RTX 4080"), memory=memory)
        with pytest.raises(CannotStart, match=f"What fits: transformer fp8.*, {says}"):
            choose("RTX 4080", small, offload="none")


def test_what_waits_in_host_memory_must_fit_there():
    best = choose("RTX 4080")
    assert best.text_encoder == "offloaded"
    needed = best.host + HOST_MARGIN
    assert choose("RTX 4080", host=needed) == best
    with pytest.raises(CannotStart, match=r"has 18\.\d GiB of host memory, and .* about 18\.9"):
        choose("RTX 4080", host=needed - 1)


def test_a_plan_that_leaves_nothing_in_host_memory_needs_none():
    assert choose("H100", host=GIB).precision == "bf16"
    with pytest.raises(CannotStart, match=r"host memory.*What fits: transformer bf16, resident"):
        choose("H100", host=GIB, offload="transformer")


def test_compiling_without_a_compiler_is_an_error_only_if_asked_for():
    bare = card("H100", compiler=False)
    assert not choose("H100", bare).compile
    with pytest.raises(CannotStart, match="needs a C compiler"):
        choose("H100", bare, compile=True)


def test_a_card_that_is_too_small_is_said_so():
    with pytest.raises(CannotStart, match="choose a card with more memory"):
        choose("tiny", Card("tiny", (8, 6), 3 * GIB))


def test_a_cpu_computes_in_float32_and_refuses_what_only_a_gpu_can():
    assert planner.for_cpu(Overrides(), HOST) == Plan("fp32")
    assert planner.for_cpu(Overrides(compile=True), HOST).compile
    assert planner.for_cpu(
        Overrides(precision="fp8", attention="native", offload="none"), HOST
    ) == (Plan("fp8"))
    int8 = Plan("int8", quantized_activations=True)
    assert planner.for_cpu(Overrides(precision="int8"), HOST) == int8
    for setting, value in (
        ("PRECISION", "bf16"),
        ("ATTENTION", "cudnn"),
        ("OFFLOAD", "transformer"),
        ("OFFLOAD", "text_encoder"),
    ):
        with pytest.raises(CannotStart, match=f"{setting}={value} needs a GPU"):
            planner.for_cpu(Overrides(**{setting.lower(): value}), HOST)


@pytest.mark.parametrize("host", [40 * GIB, HOST])
@pytest.mark.parametrize("name", CARDS)
def test_what_loras_may_take_is_what_the_model_leaves(name, host):
    plan = choose(name, host=host)
    assert (plan.peak + plan.room, plan.host + plan.host_room) == (
        card(name).memory - MARGIN,
        host - HOST_MARGIN - HOST_LORAS,
    )


def test_where_the_host_has_nothing_left_loras_may_take_nothing():
    assert choose("H100", host=1 * GIB).host_room == 0


@pytest.mark.parametrize("name", CARDS)
def test_a_card_is_used_to_the_last_byte_of_its_room_and_no_further(name):
    best = choose(name)
    needed = best.peak + MARGIN
    assert choose(name, replace(card(name), memory=needed)) == best
    assert choose(name, replace(card(name), memory=needed - 1)) != best


def ladder(**overrides):
    """The plans of ever smaller cards: each is the best on a card too small for the one before."""
    plans, memory = [], 200 * GIB
    while True:
        try:
            plan = choose("x", Card("x", (8, 9), memory), **overrides)
        except CannotStart:
            return plans
        layers = plan.precision + ("-" if plan.modulation == "offloaded" else "")
        vae = "tiled" if plan.vae_tiling else "whole"
        plans.append(f"{layers} {plan.transformer}, T5 {plan.text_encoder}, VAE {vae}")
        memory = plan.peak + MARGIN - 1


DOWNWARD = [  # - where the modulation waits in host memory
    "bf16 resident, T5 resident, VAE whole",
    "bf16 resident, T5 resident, VAE tiled",
    "bf16- resident, T5 resident, VAE whole",
    "bf16- resident, T5 resident, VAE tiled",
    "fp8 resident, T5 resident, VAE whole",
    "fp8 resident, T5 resident, VAE tiled",
    "fp8- resident, T5 resident, VAE whole",
    "fp8- resident, T5 resident, VAE tiled",
    "fp8- resident, T5 fp8, VAE tiled",
    "fp8- resident, T5 offloaded, VAE tiled",
    "fp8 streamed, T5 fp8, VAE tiled",
    "bf16 streamed, T5 offloaded, VAE tiled",
    "fp8 streamed, T5 offloaded, VAE tiled",
]


def test_ever_smaller_cards_give_up_one_thing_after_the_other():
    assert ladder() == DOWNWARD


def test_a_wish_leaves_the_plans_that_are_as_wished_in_their_order():
    exact = [f"{layers} resident, T5 offloaded, VAE tiled" for layers in ("bf16", "bf16-")]
    assert ladder(precision="bf16") == [*DOWNWARD[:4], *exact, DOWNWARD[11]]
    assert ladder(precision="fp8", compile=True) == DOWNWARD[4:10]
    small = [f"fp8 resident, T5 fp8, VAE {vae}" for vae in ("whole", "tiled")]
    assert ladder(offload="none") == [*DOWNWARD[:2], *DOWNWARD[4:6], *small]
    held = "fp8 resident, T5 offloaded, VAE tiled"
    assert ladder(offload="text_encoder") == [*exact, held, DOWNWARD[9]]
    assert ladder(offload="transformer") == DOWNWARD[10:]


@pytest.mark.parametrize(
    ("capability", "precision", "multiplies"),
    [((8, 9), "fp8", True), ((8, 6), "fp8", False), ((8, 6), "int8", True)],
)
def test_eight_bits_are_multiplied_where_blocks_are_compiled_and_the_card_can(
    capability, precision, multiplies
):
    compiled = Card("x", capability, 30 * GIB)
    assert choose("x", compiled, precision=precision).quantized_activations == multiplies
    assert not choose("x", compiled, precision=precision, compile=False).quantized_activations
    assert not choose("x", replace(compiled, memory=60 * GIB)).quantized_activations


def test_what_is_streamed_is_never_int8_which_torchao_cant_pin():
    small = Card("x", (8, 6), 11 * GIB)
    assert (choose("x", small).precision, choose("x", small).transformer) == ("fp8", "streamed")
    with pytest.raises(CannotStart, match="There is no such plan as PRECISION=int8"):
        choose("x", small, precision="int8", offload="transformer")


def test_a_smaller_workload_takes_a_better_plan():
    workload = Workload(tokens=1024, side=512, steps=50)
    assert choose("L4").vae_tiling
    assert not choose("L4", workload=workload).vae_tiling


def test_wishes_are_the_settings():
    settings = Settings(precision="fp8", offload="none", attention="cudnn", compile=False)
    assert Overrides.of(settings) == Overrides("fp8", "none", "cudnn", False)
    assert Overrides.of(Settings()) == Overrides()
