"""Which keys are taken for another API's, and how soon that is known."""

import pytest

from flux_worker.contract import foreign
from flux_worker.contract.request import ImageRequest
from flux_worker.contract.sizes import KEYS

OWN = {*ImageRequest.model_fields, *KEYS} - {"loras"}  # for these both sentences say the same


@pytest.mark.parametrize("key", sorted(OWN))
def test_no_parameter_is_another_apis_in_whatever_capitals(key):
    """Else its misspelling would be refused as something that isn't done."""
    assert not foreign.is_known(key.upper())


@pytest.mark.parametrize(
    "key",
    [
        *("image_quality", "image_id", "image_name", "output_image", "save_image_path"),
        *("return_image_url", "preview_images", "upload_images", "client_reference", "href"),
        *("user", "metadata", "webhook_secret", "model", "safety_tolerance", "go_fast"),
    ],
)
def test_what_neither_brings_a_picture_nor_changes_one_is_nobodys(key):
    assert not foreign.is_known(key)


@pytest.mark.parametrize(
    "key",
    [
        *("img" + "1" * 10**5 + "x", "img" * 10**5, "image" + "url" * 10**5),
        *("mask" * 10**5 + "x", "ref" * 10**5, "ref_img_url" * 10**4 + "x"),
        *("image_" * 10**5 + "9x", "control" * 10**5, "canny" * 10**5 + "_map"),
    ],
    ids=lambda key: key[:20],
)
def test_a_long_key_is_judged_at_once(key):
    foreign.is_known(key)
