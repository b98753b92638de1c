"""What an image costs, as https://docs.runpod.io/hub/public-endpoints prices it."""

from decimal import ROUND_CEILING, Decimal

PIXELS_PER_MEGAPIXEL = 1_000_000
TENTH_DECIMAL = Decimal("1e-10")


def cost(width: int, height: int, price_per_megapixel: Decimal) -> Decimal:
    """Price the delivered pixels, in US dollars, rounded up after the tenth decimal."""
    exact = Decimal(width * height) * price_per_megapixel / PIXELS_PER_MEGAPIXEL
    return exact.quantize(TENTH_DECIMAL, rounding=ROUND_CEILING)
