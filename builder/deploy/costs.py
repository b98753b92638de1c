"""What an endpoint costs an hour and an image, as far as that is known."""

from collections.abc import Iterable, Mapping

from benchmarks.scaling.pools import KONTEXT as KONTEXTS_FACTOR
from benchmarks.scaling.pools import POOLS, PRICES_OF, by_cost
from builder.deploy.api import Gpu
from flux_worker.contract import pricing
from flux_worker.contract.catalog import DEV, KONTEXT, ServedModel

SIDE = 1024
"""Pixels of the image that is priced, the default size."""
EXACT = 32
"""GB from which a card runs in exact bfloat16 (docs/performance.md)."""
MEASURED_OF = DEV.parameters
"""Whose image the cards' seconds are for; Krea-dev has the same steps and architecture."""


def offered(gpus: Iterable[Gpu]) -> dict[str, float | None]:
    """Return the pools of the catalog, with the dearest of each one's cards in dollars an hour."""
    pools: dict[str, float | None] = {}
    for gpu in gpus:
        if gpu.pool:
            prices = [p for p in (pools.get(gpu.pool), gpu.dollars_an_hour) if p is not None]
            pools[gpu.pool] = max(prices, default=None)
    return pools


def hour(pool: str, today: Mapping[str, float | None]) -> float | None:
    """Dollars for a flex worker's hour: of the catalog, else of the dated table."""
    if (price := today.get(pool)) is not None:
        return price
    return POOLS[pool].price * 3600 if pool in POOLS else None


def image(pool: str, model: ServedModel, today: Mapping[str, float | None]) -> float | None:
    """Dollars for the seconds of one image of the default size, where these are known."""
    price = hour(pool, today)
    if pool not in POOLS or price is None or (seconds := _seconds(pool, model)) is None:
        return None
    return seconds * price / 3600


def default_pools() -> list[str]:
    """Return the pools with the cheapest images, of those that run exact in published seconds.

    For schnell, too: it has the same layers, so the cards' order is the same.
    """
    return [name for name in by_cost() if POOLS[name].published and POOLS[name].memory >= EXACT][:3]


def lines(
    pools: list[str], model: ServedModel, today: Mapping[str, float | None], workers_max: int
) -> list[str]:
    """Say what the pools cost, beside the public endpoint."""
    rows = [("pool", "cards", "$ an hour", f"$ an image, {SIDE}×{SIDE}")]
    for pool in pools:
        per_hour, per_image = hour(pool, today), image(pool, model, today)
        rows.append(
            (
                pool,
                _cards(pool),
                "unknown" if per_hour is None else f"{per_hour:.2f}",
                "unknown" if per_image is None else f"{per_image:.4f} ({_source(pool, model)})",
            )
        )
    widths = [max(len(row[column]) for row in rows) for column in range(4)]
    table = ["  ".join(cell.ljust(w) for cell, w in zip(row, widths, strict=True)).rstrip()
             for row in rows]  # fmt: skip
    public = pricing.cost(SIDE, SIDE, model.price)
    dearest = max((hour(pool, today) or 0.0 for pool in pools), default=0.0)
    by_catalog = all(today.get(pool) is not None for pool in pools)
    prices = (
        "Runpod's catalog, now" if by_catalog else f"{PRICES_OF}; https://www.runpod.io/pricing"
    )
    return [
        *table,
        f"Prices of one worker: {prices}.",
        f"The public endpoint's price for {model.title}: ${public:.4f} an image.",
        "Billed is every second that a worker lives, cold starts and idle seconds included; with "
        f"all {workers_max} at work, up to ${workers_max * dearest:.2f} an hour.",
    ]


def _is_measured(model: ServedModel) -> bool:
    return model.guidance_embeds and model.parameters == MEASURED_OF


def _seconds(pool: str, model: ServedModel) -> float | None:
    if model is KONTEXT:
        return KONTEXTS_FACTOR * POOLS[pool].seconds
    return POOLS[pool].seconds if _is_measured(model) else None


def _source(pool: str, model: ServedModel) -> str:
    published = POOLS[pool].published if _is_measured(model) else None
    source = published.source.split()[0].rstrip(",") if published else "estimated"
    return f"{_seconds(pool, model):.3g} s, {source}"


def _cards(pool: str) -> str:
    return ", ".join(map(_short, POOLS[pool].cards)) if pool in POOLS else ""


def _short(card: str) -> str:
    return card.removeprefix("NVIDIA ").removeprefix("GeForce ")
