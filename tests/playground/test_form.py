import pytest

from flux_worker.contract.catalog import DEV, KONTEXT, SCHNELL
from playground import form

PICTURE = "data:image/png;base64,"
AS_OPENED = {**dict.fromkeys(form.FIELDS), **DEV.parameters.defaults(), "seed": "-1"}


def typed(**values):
    return {**AS_OPENED, "prompt": "a red circle", "negative_prompt": "", **values}


def test_a_form_as_it_opens_asks_for_the_defaults():
    checked = form.check(typed(), DEV)
    assert not checked.faults
    assert form.differing(checked.given, DEV) == {"prompt": "a red circle"}
    assert form.complete(checked.given, DEV) == {
        "prompt": "a red circle",
        "true_cfg_scale": 2.0,
        "width": 1024,
        "height": 1024,
        "num_inference_steps": 28,
        "guidance": 7.5,
        "seed": -1,
        "image_format": "jpeg",
    }


def test_a_seed_that_is_left_open_is_drawn_for_the_run_and_stays_open_in_the_code():
    checked = form.check(typed(), DEV)
    assert checked.request.seed >= 0
    assert checked.given["seed"] == -1


def test_the_largest_seed_is_exact():
    checked = form.check(typed(seed=" 9223372036854775807 "), DEV)
    assert checked.request.seed == checked.given["seed"] == 2**63 - 1


def test_blank_fields_stand_for_the_defaults():
    blank = typed(width=None, seed=" ", guidance=None, num_inference_steps=None)
    checked = form.check(blank, SCHNELL)
    assert (checked.request.width, checked.request.guidance) == (1024, 7.5)
    assert checked.request.num_inference_steps == 4
    assert form.differing(checked.given, SCHNELL) == {"prompt": "a red circle"}


@pytest.mark.parametrize(
    ("values", "faults"),
    [
        ({"prompt": ""}, {"prompt": "prompt is required"}),
        ({"prompt": " "}, {"prompt": "prompt must not be blank"}),
        ({"width": 2000.0}, {"width": "width must be between 256 and 1536 (got 2000)"}),
        (
            {"height": 100.5},
            {"height": "height must be an integer between 256 and 1536 (got 100.5)"},
        ),
        (
            {"seed": "0x1", "guidance": 11},
            {
                "seed": 'seed must be an integer between -1 and 9223372036854775807 (got "0x1")',
                "guidance": "guidance must be between 0.0 and 10.0 (got 11)",
            },
        ),
        ({"seed": "9" * 31}, {"seed": None}),
    ],
)
def test_each_fault_belongs_to_its_field_in_the_workers_words(values, faults):
    told = form.check(typed(**values), DEV).faults
    assert set(told) == set(faults)
    for name, sentence in faults.items():
        assert sentence is None or told[name] == sentence


ROWS = [
    {"path": None, "scale": 9},
    {"path": " crescent.safetensors ", "scale": 0.5},
    {"path": "", "scale": 1.0},
    {"path": "owner/name", "scale": None},
    {"path": " ", "scale": None},
]


def test_rows_of_loras_without_a_path_are_not_sent():
    checked = form.check(typed(loras=ROWS), DEV)
    asked = [{"path": "crescent.safetensors", "scale": 0.5}, {"path": "owner/name", "scale": 1.0}]
    assert checked.given["loras"] == asked
    assert [each.model_dump() for each in checked.request.loras] == asked
    for given in (form.differing(checked.given, DEV), form.complete(checked.given, DEV)):
        assert given["loras"] == asked
    assert "loras" not in form.complete(form.check(typed(loras=ROWS[:1]), DEV).given, DEV)


def test_the_faults_of_a_lora_belong_to_its_row():
    rows = [ROWS[0], {"path": "http://x", "scale": 1}, ROWS[2], {"path": "a", "scale": 4.5}]
    told = form.check(typed(loras=rows, width=1), DEV).faults
    assert set(told) == {"loras[1].path", "loras[3].scale", "width"}
    assert told["loras[1].path"].startswith("loras[0].path must be an https URL")
    assert told["loras[3].scale"] == "loras[1].scale must be between -4.0 and 4.0 (got 4.5)"


@pytest.mark.parametrize(
    "loras", [5, "a", {"path": "a"}, ["a"], [5], [[]], [None], [{"path": 0}] * 9]
)
def test_loras_that_no_page_has_are_refused_by_the_contract(loras):
    assert form.check(typed(loras=loras), DEV).request is None


def test_the_limits_are_the_chosen_models():
    assert not form.check(typed(num_inference_steps=28), DEV).faults
    assert form.check(typed(num_inference_steps=28), SCHNELL).faults == {
        "num_inference_steps": "num_inference_steps must be between 1 and 8 (got 28)"
    }


def with_picture(**values):
    return typed(image=PICTURE, **{"width": None, "height": None, "strength": 0.6, **values})


def test_a_picture_decides_the_size_that_is_left_open():
    checked = form.check(with_picture(), DEV, (4000, 3000))
    assert (checked.request.width, checked.request.height) == (1536, 1152)
    assert form.size(checked.given, DEV, (4000, 3000)) == (1536, 1152)
    sent = {"prompt": "a red circle", "image": PICTURE, "strength": 0.6}
    assert form.differing(checked.given, DEV) == sent
    assert not {"width", "height"} & form.complete(checked.given, DEV).keys()
    checked = form.check(with_picture(width=800), DEV, (4000, 3000))
    assert (checked.request.width, checked.request.height) == (800, 600)
    assert form.differing(checked.given, DEV) == {**sent, "width": 800}


def test_a_size_that_is_chosen_is_sent_even_if_it_is_the_usual_one():
    checked = form.check(with_picture(width=1024, height=1024), DEV, (512, 384))
    assert (checked.request.width, checked.request.height) == (1024, 1024)
    assert {"width": 1024, "height": 1024}.items() <= form.differing(checked.given, DEV).items()


def test_a_picture_in_whose_shape_nothing_can_be_made_is_said():
    checked = form.check(with_picture(), DEV, (1536, 100))
    assert checked.request is None
    assert checked.faults["image"].startswith("image is 1536x100, and in that shape")
    assert form.size({}, DEV, (1536, 100)) == checked.faults["image"]


def test_a_mask_goes_with_a_picture_to_the_models_that_paint_parts():
    both = with_picture(mask_image=PICTURE)
    assert form.check(both, DEV, (512, 384)).request.task == "inpainting"
    edited = form.check(both, KONTEXT, (512, 384))
    assert edited.request.task == "editing"
    assert not {"mask_image", "strength"} & edited.given.keys()
    assert (edited.request.width, edited.request.height) == (1024, 1024)
    assert form.size(edited.given, KONTEXT, (512, 384)) == (1024, 1024)


def test_without_a_picture_nothing_is_said_of_strength_but_kontext_wants_one():
    checked = form.check(typed(strength=0.6), DEV)
    assert checked.request.task == "text-to-image"
    for given in (checked.given, form.complete(checked.given, DEV)):
        assert "strength" not in given
    told = "image is required: drop, paste or choose a picture"
    assert form.check(typed(strength=0.6), KONTEXT).faults == {"image": told}


def test_whats_typed_in_a_prompt_is_a_prompt_even_if_it_is_a_number():
    assert form.check(typed(prompt="42"), DEV).request.prompt == "42"


@pytest.mark.parametrize(
    ("ratio", "sides"),
    [
        ("1:1", (1024, 1024)),
        ("4:3", (1184, 880)),
        ("3:4", (880, 1184)),
        ("16:9", (1360, 768)),
        ("9:16", (768, 1360)),
    ],
)
def test_a_ratio_makes_the_sides_that_the_worker_makes_of_it(ratio, sides):
    assert form.sides(ratio, DEV) == sides
    sent = {"prompt": "x", "aspect_ratio": ratio}
    request, _ = form.ImageRequest.parse(sent, DEV)
    assert (request.width, request.height) == sides
