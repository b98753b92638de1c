"""What a request is for: the pictures in it tell, and not every model does everything."""

from itertools import combinations

import pytest

from flux_worker.contract.catalog import DEV, KONTEXT, KREA_DEV, MODELS, PICTURES, SCHNELL
from flux_worker.contract.request import ImageRequest
from flux_worker.contract.task_choice import NAMES, choose, is_no_picture, taken
from flux_worker.errors import InvalidRequest

FOX = "https://example.com/fox.png"
DATA = "data:image/png;base64,iVBORw0KGgo="


def task_of(model, *pictures):
    given = {"prompt": "a fox", **dict.fromkeys(pictures, FOX)}
    return ImageRequest.parse(given, model)[0].task


def faults_of(model, **given):
    with pytest.raises(InvalidRequest) as refusal:
        ImageRequest.parse({"prompt": "a fox", **given}, model)
    return list(refusal.value.faults)


@pytest.mark.parametrize("model", [DEV, SCHNELL, KREA_DEV], ids=lambda model: model.name)
def test_the_pictures_tell_the_task(model):
    assert task_of(model) == "text-to-image"
    assert task_of(model, "image") == "image-to-image"
    assert task_of(model, "image", "mask_image") == "inpainting"


def test_kontext_edits_a_picture_and_nothing_else():
    assert task_of(KONTEXT, "image") == "editing"
    assert faults_of(KONTEXT) == ["image is required"]
    assert faults_of(KONTEXT, image=FOX, mask_image=FOX) == [
        "mask_image is no parameter of FLUX.1-Kontext-dev"
    ]
    assert faults_of(KONTEXT, mask_image=FOX) == [
        "mask_image is no parameter of FLUX.1-Kontext-dev",
        "image is required",
    ]


def test_a_mask_alone_has_nothing_to_say_it_of():
    assert faults_of(DEV, mask_image=FOX) == [
        "mask_image needs image, the picture of which it says what is painted anew"
    ]


@pytest.mark.parametrize("model", MODELS.values(), ids=MODELS)
def test_whatever_pictures_there_are_a_task_begins_with_them_or_it_is_said_why_not(model):
    for pictures in (set(some) for n in range(3) for some in combinations(NAMES, n)):
        task, faults = choose(dict.fromkeys(pictures, FOX), model)
        assert task in model.tasks
        assert (PICTURES[task] == pictures) == (not faults)


def test_what_a_model_takes():
    assert taken(DEV) == {"image", "mask_image"}
    assert taken(KONTEXT) == {"image"}


@pytest.mark.parametrize("nothing", ["", " \n", None, [], False, 0, {}])
@pytest.mark.parametrize("name", NAMES)
def test_a_picture_that_is_none_is_as_good_as_not_sent(name, nothing):
    assert is_no_picture(name, nothing)
    request, unread = ImageRequest.parse({"prompt": "a fox", name: nothing}, DEV)
    assert (request.task, unread) == ("text-to-image", [])


def test_a_blank_mask_leaves_image_to_image():
    request, _ = ImageRequest.parse({"prompt": "a fox", "image": DATA, "mask_image": ""}, DEV)
    assert (request.task, request.mask_image) == ("image-to-image", None)


@pytest.mark.parametrize("value", [FOX, DATA, 1, [FOX]])
def test_all_else_is_judged_as_a_picture(value):
    assert not is_no_picture("image", value)
    assert not is_no_picture("prompt", "")
