"""Runpod's pools: each is served by the plan, and the docs tell what an image costs there."""

import re

import pytest
from cards import FLUX
from conftest import ROOT

from benchmarks.scaling.pools import POOLS, by_cost, rows
from flux_worker.contract.catalog import DEV
from flux_worker.engine import planner
from flux_worker.engine.card import Card
from flux_worker.engine.memory import Workload
from flux_worker.engine.plan import GIB
from flux_worker.engine.planner import Overrides


def test_the_pools_are_in_the_order_of_an_images_cost():
    dollars = [POOLS[name].price * POOLS[name].seconds for name in by_cost()]
    assert dollars == sorted(dollars)
    assert set(by_cost()) == set(POOLS)


@pytest.mark.parametrize("capability", [(8, 6), (8, 9)], ids=["Ampere", "Ada and newer"])
@pytest.mark.parametrize("name", POOLS)
def test_the_plan_serves_every_pool(name, capability):
    """In the memory that a driver reports at least, and with every block on the card."""
    card = Card(name, capability, int(0.916 * POOLS[name].memory * GIB))
    plan = planner.choose(card, 32 * GIB, FLUX, Workload.of(DEV), Overrides())
    assert plan.transformer == "resident"
    assert plan.is_quantized is (POOLS[name].memory < 32)


def test_the_documented_costs_are_the_pools():
    page = (ROOT / "docs/costs.md").read_text()
    told = [
        [cell.strip() for cell in line.strip("|").split("|")]
        for line in page.splitlines()
        if re.match(r"\| `[A-Z]+_\d", line)
    ]
    assert [(row[0], *row[2:7]) for row in told] == rows()
