from decimal import Decimal

import pytest
from conftest import SMALL, run

from flux_worker.contract.catalog import DEV, SCHNELL, Price
from flux_worker.contract.pricing import cost


@pytest.mark.parametrize(
    ("side", "model", "documented"),
    [
        (512, DEV, "0.00524288"),
        (1024, DEV, "0.02097152"),
        (512, SCHNELL, "0.0006291456"),
        (1024, SCHNELL, "0.0025165824"),
    ],
)
def test_documented_prices(side, model, documented):
    assert cost(side, side, model.price) == Decimal(documented)


def test_rounded_up_after_the_tenth_decimal():
    assert cost(257, 257, Price(Decimal("0.00000015"))) == Decimal("0.0000000100")
    assert cost(256, 256, Price(Decimal("0.0000001"))) == Decimal("0.0000000066")


def test_a_price_for_an_image_is_that_of_every_size():
    price = Price(Decimal("0.025"), "image")
    assert cost(256, 256, price) == cost(1536, 1536, price) == Decimal("0.025")


def test_the_delivered_size_is_priced_not_the_generated_one(make_worker):
    answer = run(make_worker(), {**SMALL, "width": 257})
    assert answer["cost"] == float(cost(257, 256, DEV.price))


def test_the_operator_sets_the_price(make_worker):
    answer = run(make_worker(price_per_megapixel="1"), SMALL)
    assert answer["cost"] == 0.065536
    assert run(make_worker(price_per_megapixel="0"), SMALL)["cost"] == 0.0


def test_an_error_carries_no_cost(make_worker):
    assert "cost" not in run(make_worker(), {**SMALL, "width": 1})
