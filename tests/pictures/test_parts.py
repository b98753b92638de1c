import pytest

from flux_worker.downloads.refusals import Refused
from flux_worker.pictures import parts


@pytest.mark.parametrize("size", [(1, 1), (50_000_000, 1), (10_000, 5_000)])
def test_a_size_up_to_fifty_megapixels_is_taken(size):
    assert parts.require_size("PNG", size) == size


@pytest.mark.parametrize(
    ("size", "said"),
    [
        ((0, 1), "is a PNG that is damaged"),
        ((1, 0), "is a PNG that is damaged"),
        ((10_000, 5_001), "has 10000x5001 pixels, more than 50 megapixels: send it smaller"),
    ],
)
def test_any_other_is_refused(size, said):
    with pytest.raises(Refused, match=said):
        parts.require_size("PNG", size)
