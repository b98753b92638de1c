"""What an image costs, as https://docs.runpod.io/public-endpoints/reference prices it."""

from decimal import ROUND_CEILING, Decimal

from flux_worker.contract.catalog import Price

PIXELS_PER_MEGAPIXEL = 1_000_000
TENTH_DECIMAL = Decimal("1e-10")


def cost(width: int, height: int, price: Price) -> Decimal:
    """Price an image of this delivered size, in US dollars, rounded up after the tenth decimal."""
    megapixels = Decimal(width * height) / PIXELS_PER_MEGAPIXEL
    exact = price.amount * (megapixels if price.per == "megapixel" else 1)
    return exact.quantize(TENTH_DECIMAL, rounding=ROUND_CEILING)
