"""Runpod's GPU pools, and what an image costs on each. Nothing of it was measured on this worker.

Which there are: https://docs.runpod.io/flash/configuration/gpu-types and
https://docs.runpod.io/references/gpu-types. What they cost: https://docs.runpod.io/serverless/pricing,
at the date of `PRICES_OF`; the RTX 5090 isn't in that table, its price is one that users report.

    python -m benchmarks.scaling.pools
"""

from dataclasses import dataclass

from benchmarks.scaling.cards import CARDS, Card
from benchmarks.table import markdown

PRICES_OF = "August 2026"


@dataclass(frozen=True)
class Pool:
    """Cards that an endpoint asks for together."""

    cards: tuple[str, ...]
    """By Runpod's GPU ids."""
    memory: int
    """GB, of the smallest."""
    price: float
    """Dollars a second as a flex worker."""
    seconds: float
    """For an image of FLUX.1-dev at 1024×1024 in 28 steps."""
    published: Card | None = None
    """Whose seconds these are, where they aren't estimated."""

    @property
    def dollars(self) -> float:
        """For such an image, without its share of starts and idle seconds."""
        return self.seconds * self.price


H100_RATE = 989
KONTEXT = 2.3
"""How many times as long an image of Kontext takes, estimated: the latents of its picture stand
beside the image's, which is 2.2 times the work, more of it in attention (docs/performance.md)."""


def _estimated(rate: float) -> float:
    """Return the H100's seconds, by rate.

    Args:
        rate: 10¹² operations a second of the pool's slowest card, by the data sheet: of dense
            matrices, summed up in 32 bits, in the precision that the worker chooses there.
    """
    return CARDS["H100"].seconds * H100_RATE / rate


def _published(card: str, memory: int, *cards: str) -> Pool:
    known = CARDS[card]
    return Pool(cards, memory, known.price, known.seconds, known)


POOLS = {
    "AMPERE_16": Pool(
        ("NVIDIA RTX A4000", "NVIDIA RTX 4000 Ada Generation", "NVIDIA RTX 2000 Ada Generation"),
        memory=16,
        price=0.00016,
        seconds=_estimated(96),  # RTX 2000 Ada, fp8
    ),
    "AMPERE_24": Pool(
        ("NVIDIA L4", "NVIDIA RTX A5000", "NVIDIA GeForce RTX 3090"),
        memory=24,
        price=0.00019,
        seconds=_estimated(222),  # A5000, int8
    ),
    "ADA_24": _published("RTX 4090", 24, "NVIDIA GeForce RTX 4090"),
    "ADA_32_PRO": Pool(
        ("NVIDIA GeForce RTX 5090",), memory=32, price=0.00044, seconds=_estimated(210)
    ),
    "AMPERE_48": Pool(
        ("NVIDIA A40", "NVIDIA RTX A6000"), memory=48, price=0.00034, seconds=_estimated(150)
    ),
    "ADA_48_PRO": Pool(
        ("NVIDIA L40", "NVIDIA L40S", "NVIDIA RTX 6000 Ada Generation"),
        memory=48,
        price=0.00053,
        seconds=_estimated(181),  # L40; both others have twice as much
    ),
    "AMPERE_80": _published("A100", 80, "NVIDIA A100 80GB PCIe", "NVIDIA A100-SXM4-80GB"),
    "ADA_80_PRO": _published("H100", 80, "NVIDIA H100 80GB HBM3"),
    "BLACKWELL_96": Pool(
        (
            "NVIDIA RTX PRO 6000 Blackwell Server Edition",
            "NVIDIA RTX PRO 6000 Blackwell Workstation Edition",
            "NVIDIA RTX PRO 6000 Blackwell Max-Q Workstation Edition",
        ),
        memory=96,
        price=0.00111,
        seconds=_estimated(439),  # Max-Q
    ),
    "HOPPER_141": _published("H200", 141, "NVIDIA H200"),
    "BLACKWELL_180": Pool(("NVIDIA B200",), memory=180, price=0.0024, seconds=_estimated(2250)),
}


def by_cost() -> list[str]:
    """Return the pools, the one with the cheapest image first."""
    return sorted(POOLS, key=lambda name: POOLS[name].dollars)


def rows() -> list[tuple[str, ...]]:
    """Return the pools by cost, as docs/costs.md has them; the last cell is Kontext's."""
    return [
        (
            f"`{name}`",
            str(pool.memory),
            f"${pool.price:.5f}",
            f"{pool.seconds:.1f}{'' if pool.published else ' (est.)'}",
            f"${pool.dollars:.4f}",
            f"${KONTEXT * pool.dollars:.4f} (est.)",
        )
        for name, pool in ((name, POOLS[name]) for name in by_cost())
    ]


if __name__ == "__main__":
    head = ("pool", "GB", "price, $/s", "s an image", "$ an image", "$ an image of Kontext")
    print(markdown(head, rows()))
