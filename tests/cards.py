"""Real cards, and FLUX.1-dev's size, for plans that need neither."""

from flux_worker.engine.card import Card
from flux_worker.engine.plan import GIB
from flux_worker.weights.checkpoint import ParameterCounts

FLUX = ParameterCounts(  # FLUX.1-dev's
    block_layers=8_606_711_808,
    modulation=3_227_516_928,
    transformer_rest=67_179_584,
    largest_block=339_739_136,
    text_encoder=4_762_310_656,
    text_embedding=131_596_288,
    small_components=206_879_494,
)
CARDS = {  # compute capability, GiB that the driver reports
    "RTX 4080": ((8, 9), 15.6),
    "L4": ((8, 9), 22.0),
    "RTX 4090": ((8, 9), 23.5),
    "RTX 3090": ((8, 6), 23.6),
    "RTX 5090": ((12, 0), 31.4),
    "A100 40 GB": ((8, 0), 39.4),
    "A40": ((8, 6), 44.4),
    "A6000": ((8, 6), 47.5),
    "L40S": ((8, 9), 44.4),
    "A100 80 GB": ((8, 0), 79.2),
    "H100": ((9, 0), 79.2),
    "RTX 6000 Blackwell": ((12, 0), 94.9),
    "H200": ((9, 0), 139.8),
    "B200": ((10, 0), 178.4),
}


def card(name, **given):
    capability, memory = CARDS[name]
    return Card(name, capability, int(memory * GIB), **given)
