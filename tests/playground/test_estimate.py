from decimal import Decimal

import pytest

from flux_worker.contract.catalog import DEV, KONTEXT, SCHNELL
from playground import estimate


@pytest.mark.parametrize(
    ("model", "width", "height", "line"),
    [
        (DEV, 1024, 1024, "$0.02097152 for 1.048576"),
        (DEV, 512, 512, "$0.00524288 for 0.262144"),
        (SCHNELL, 1024, 1024, "$0.0025165824 for 1.048576"),
        (SCHNELL, 257, 257, "$0.0001585176 for 0.066049"),
        (DEV, 1000, 1000, "$0.02 for 1"),
    ],
)
def test_the_estimate_has_every_decimal(model, width, height, line):
    assert estimate.line(width, height, estimate.price(model, "")) == (
        f"Estimated cost: {line} megapixels"
    )


def test_a_price_for_an_image_is_one_for_any_size():
    for side in (256, 1536):
        line = estimate.line(side, side, estimate.price(KONTEXT, ""))
        assert line == "Estimated cost: $0.025 for an image of any size"
    # As the worker takes it, whatever the model's own is for.
    line = estimate.line(1000, 1000, estimate.price(KONTEXT, "0.5"))
    assert line == "Estimated cost: $0.5 for 1 megapixels"


def test_an_operators_own_price_is_used():
    for typed, cost in ((" $0.5 ", "$0.5"), ("0", "$0")):
        line = estimate.line(1000, 1000, estimate.price(DEV, typed))
        assert line == f"Estimated cost: {cost} for 1 megapixels"


@pytest.mark.parametrize("price", ["x", "-1", "NaN", "Infinity", "1e99", "0,02"])
def test_what_is_no_price_is_said(price):
    with pytest.raises(ValueError, match=r"such as 0\.02"):
        estimate.price(DEV, price)


@pytest.mark.parametrize("amount", [20, Decimal("20.00"), 1e-10, 0.02097152])
def test_amounts_are_written_without_exponents(amount):
    written = estimate.dollars(amount if isinstance(amount, Decimal) else float(amount))
    assert "e" not in written.lower()
    assert Decimal(written[1:]) == Decimal(str(amount))
