"""What is taken for granted of cards and their pools. Nothing of it was measured on this worker."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Pool:
    """Cards that Runpod rents out under one name, at one price."""

    cards: str
    price: float
    """Dollars a second as a flex worker, at the date of `PRICES_OF`."""


PRICES_OF = "August 2026"
"""From https://www.runpod.io/pricing, which has today's."""

POOLS = {
    "AMPERE_16": Pool("A4000 and alike", 0.00016),
    "AMPERE_24": Pool("L4, A5000, RTX 3090", 0.00019),
    "ADA_24": Pool("RTX 4090", 0.00031),
    "AMPERE_48": Pool("A6000, A40", 0.00034),
    "ADA_48_PRO": Pool("L40, L40S, 6000 Ada", 0.00053),
    "AMPERE_80": Pool("A100", 0.00076),
    "BLACKWELL_96": Pool("RTX PRO 6000", 0.00111),
    "ADA_80_PRO": Pool("H100", 0.00116),
    "HOPPER_141": Pool("H200", 0.00155),
    "BLACKWELL_180": Pool("B200", 0.00240),
}


@dataclass(frozen=True)
class Card:
    """A card of which it is known how fast it is."""

    seconds: float
    """For an image of FLUX.1-dev at 1024×1024 in 28 steps: predicted or published, see `source`."""
    pool: str
    source: str

    @property
    def price(self) -> float:
        """Dollars a second as a flex worker."""
        return POOLS[self.pool].price


CARDS = {
    "H200": Card(
        3.7, "HOPPER_141", "predicted from FLUX's arithmetic and published rates of its parts"
    ),
    "H100": Card(4.2, "ADA_80_PRO", "published, diffusers compiled: sayakpaul/diffusers-torchao"),
    "A100": Card(10.0, "AMPERE_80", "published, diffusers compiled: chengzeyi/ParaAttention"),
}
"""Those whose seconds are known for the plan that the worker chooses there: exact, compiled."""

COLD_START = 30.0
"""Seconds, an assumption: no cold start with FLUX's own weights was measured on a GPU."""
