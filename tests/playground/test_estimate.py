from decimal import Decimal

import pytest

from flux_worker.contract.catalog import DEV, SCHNELL
from playground import estimate


@pytest.mark.parametrize(
    ("model", "width", "height", "line"),
    [
        (DEV, 1024, 1024, "1.048576 megapixels, $0.02097152"),
        (DEV, 512, 512, "0.262144 megapixels, $0.00524288"),
        (SCHNELL, 1024, 1024, "1.048576 megapixels, $0.0025165824"),
        (SCHNELL, 257, 257, "0.066049 megapixels, $0.0001585176"),
        (DEV, 1000, 1000, "1 megapixels, $0.02"),
    ],
)
def test_the_estimate_has_every_decimal(model, width, height, line):
    assert estimate.line(width, height, estimate.price(model, "")) == line


def test_an_operators_own_price_is_used():
    assert estimate.line(1000, 1000, estimate.price(DEV, " $0.5 ")).endswith(", $0.5")
    assert estimate.line(1000, 1000, estimate.price(DEV, "0")).endswith(", $0")


@pytest.mark.parametrize("price", ["x", "-1", "NaN", "Infinity", "1e99", "0,02"])
def test_what_is_no_price_is_said(price):
    with pytest.raises(ValueError, match=r"such as 0\.02"):
        estimate.price(DEV, price)


@pytest.mark.parametrize("amount", [20, Decimal("20.00"), 1e-10, 0.02097152])
def test_amounts_are_written_without_exponents(amount):
    written = estimate.dollars(amount if isinstance(amount, Decimal) else float(amount))
    assert "e" not in written.lower()
    assert Decimal(written[1:]) == Decimal(str(amount))
