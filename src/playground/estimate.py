"""What an image will cost, before it is made: by the worker's own arithmetic."""

from decimal import Decimal, InvalidOperation

from flux_worker.contract import pricing
from flux_worker.contract.catalog import Price, ServedModel


def price(model: ServedModel, per_megapixel: str) -> Price:
    """Return an endpoint's price: its operator's own where one is typed, else the model's.

    Raises:
        ValueError: what is typed is no price; a sentence says so.
    """
    if not per_megapixel.strip():
        return model.price
    try:
        amount = Decimal(per_megapixel.strip().removeprefix("$"))
    except InvalidOperation:
        amount = Decimal("NaN")
    if not (amount.is_finite() and 0 <= amount <= 1_000_000):
        raise ValueError("The price of a megapixel is a number of US dollars, such as 0.02.")
    return Price(amount)


def dollars(amount: Decimal | float) -> str:
    """Write an amount with all of its decimals, of which a cost has ten at most."""
    exact = Decimal(repr(amount)) if isinstance(amount, float) else amount
    return f"${exact.normalize():f}"


def line(width: int, height: int, at: Price) -> str:
    """Say what an image will cost, and for what."""
    cost = dollars(pricing.cost(width, height, at))
    if at.per == "image":
        return f"Estimated cost: {cost} for an image of any size"
    megapixels = Decimal(width * height) / pricing.PIXELS_PER_MEGAPIXEL
    return f"Estimated cost: {cost} for {megapixels.normalize():f} megapixels"
