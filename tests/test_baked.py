"""Where an image keeps its weights; `builder/test_bake.py` puts some there."""

from flux_worker.baked import BAKED_WEIGHTS
from flux_worker.settings import Settings


def test_outside_of_an_image_nothing_is_baked():
    assert not BAKED_WEIGHTS.exists()
    assert Settings.from_environment() == Settings()
