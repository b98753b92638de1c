from flux_worker.pictures.picture_library import Pictures
from flux_worker.settings import Settings


def test_it_is_made_of_settings():
    assert Pictures(Settings())
