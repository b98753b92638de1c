import json

import pytest

from flux_worker.contract.catalog import DEV
from flux_worker.contract.request import ImageRequest
from playground.input_pictures import STAND_IN
from playground.page import words
from playground.places import Place
from playground.runs import Run, State

EVIL = "<img src=x onerror=alert(1)>\"'&${alert(1)}"


def run(state=State.DRAWING, problem=None, prompt=EVIL, loras=(), given=None, **body):
    request, _ = ImageRequest.parse(
        {"prompt": prompt, "seed": 7, "loras": loras, **(given or {})}, DEV
    )
    place = Place("http://h/v2", "abc")
    made = Run(request, DEV, place, DEV.price, "job-1", state=state, body=body)
    made.problem = problem
    return made


def test_what_others_wrote_is_text():
    output = {"step": 1, "steps": EVIL, "percent": EVIL, "eta_seconds": EVIL, "preview": EVIL}
    for state in State:
        told = words.state(run(state, EVIL, output=output | {"cost": EVIL}, delayTime=EVIL))
        assert "<img" not in told
        assert "onerror" not in told.replace("&lt;img src=x onerror=alert(1)&gt;", "")
    assert "<img" not in words.problem(EVIL) + words.note(EVIL)


@pytest.mark.parametrize(
    "preview",
    ["https://elsewhere/x.jpg", 'data:image/jpeg;base64,AA" onload="x', "data:text/html,x"],
)
def test_a_preview_that_is_no_picture_is_not_shown(preview):
    assert "<img" not in words.state(run(output={"step": 1, "steps": 2, "preview": preview}))


def test_a_running_job_says_its_step_the_time_left_and_shows_what_it_becomes():
    output = {"step": 12, "steps": 28, "percent": 43, "eta_seconds": 1.9}
    told = words.state(run(output=output | {"preview": "data:image/jpeg;base64,AAAA"}))
    assert "Step 12 of 28, 2 seconds left." in told
    assert 'value="43"' in told
    assert 'src="data:image/jpeg;base64,AAAA"' in told


def test_the_facts_have_every_decimal():
    told = words.state(
        run(State.DONE, "x", output={"cost": 0.0025165824}, delayTime=120, executionTime=3400)
    )
    for fact in ("$0.0025165824", "<dd>7</dd>", "0.1 s", "3.4 s"):
        assert fact in told


def test_a_run_is_told_with_its_loras():
    loras = [{"path": "<b>", "scale": 0.75}, {"path": "https://h/" + "x" * 999}]
    told = words.state(run(State.DONE, "x", loras=loras))
    assert f"<dt>LoRAs</dt><dd>&lt;b&gt; × 0.75, https://h/{'x' * 49}… × 1<" in told
    assert "LoRAs" not in words.state(run(State.DONE, "x"))


@pytest.mark.parametrize(
    ("pictures", "how"),
    [
        (["image"], "image to image, strength 0.6"),
        (["image", "mask_image"], "inpainting, strength 0.6"),
    ],
)
def test_a_run_tells_that_it_was_made_of_a_picture(pictures, how):
    given = {**dict.fromkeys(pictures, STAND_IN), "strength": 0.6}
    made = run(State.DONE, "x", "a red circle", given=given)
    assert words.caption(made) == f"a red circle ({how})"
    assert f"<dt>Made by</dt><dd>{how.capitalize()}</dd>" in words.state(made)
    assert words.caption(run(prompt="a red circle")) == "a red circle"
    assert "Made by" not in words.state(run(State.DONE, "x"))


def test_an_endpoint_with_a_price_of_its_own_is_noticed():
    expected = run(State.DONE, "x", output={"cost": 0.02097152})
    assert "was estimated" not in words.state(expected)
    other = run(State.DONE, "x", output={"cost": 0.05})
    assert "$0.02097152 was estimated: this endpoint has a price of its own." in words.state(other)


def test_raw_json_is_the_endpoints_word_but_for_a_files_letters():
    body = {"id": "job-1", "output": {"image_url": "data:image/png;base64," + "A" * 9_000_000}}
    shown = json.loads(words.raw(run(**body)))
    assert shown["id"] == "job-1"
    assert len(words.raw(run(**body))) < 1_000
    assert "9,000,022 letters" in shown["output"]["image_url"]
    url = {"output": {"image_url": "https://bucket/x?X-Amz=" + "a" * 2_000}}
    assert json.loads(words.raw(run(**url))) == url


def test_a_long_prompt_is_named_in_a_line():
    assert words.label(run(State.WAITING, prompt="a\nb " * 100)).startswith("waiting: a b a b")
    assert len(words.label(run(prompt="x" * 5_000))) < 80


@pytest.mark.parametrize("number", [10**400, float("nan"), float("inf"), True, "5", None])
def test_a_number_that_means_nothing_is_left_out(number):
    output = {"step": 1, "steps": 28, "eta_seconds": number, "percent": number, "cost": number}
    assert "<p>Step 1 of 28.</p>" in words.state(run(output=output))
    told = words.state(run(State.FAILED, output=output, delayTime=number, executionTime=number))
    assert "<dt>" not in told


@pytest.mark.parametrize(("cost", "told"), [(0, "$0"), (2, "$2"), (1e-7, "$0.0000001")])
def test_a_cost_is_told_however_json_writes_it(cost, told):
    assert f"<dd>{told}</dd>" in words.state(run(State.FAILED, output={"cost": cost}))


def test_raw_json_of_any_size_and_depth_can_be_shown():
    nested = []
    for _ in range(100_000):
        nested = [nested]
    assert "too deeply" in words.raw(run(nested=nested))
    for huge in ("x" * 9_000_000, ["x"] * 1_000_000):
        shown = words.raw(run(huge=huge))
        assert len(shown) < 110_000
        assert shown.endswith(" letters)")
