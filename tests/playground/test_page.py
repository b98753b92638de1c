"""The page, as people use it, in a real browser."""

import base64
import http.client
import io
import json
import re
import signal
from urllib.request import urlopen

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import expect
from running_platform import DEV, SCHNELL, serving_both
from running_playground import playing
from scripted_endpoint import report, scripted
from visitor import CONTRASTS, PHONE, Visitor, visiting

from builder.demo_model.judge import colour_name
from flux_worker.contract.catalog import MODELS
from flux_worker.delivery.images import encode, read_parameters
from playground.snippets.call import Call
from playground.snippets.languages import SNIPPETS, write

pytestmark = pytest.mark.real

CLIPBOARD = ["clipboard-read", "clipboard-write"]
LORAS = ["crescent.safetensors", "it's größer.safetensors"]
"""The files that the platform's endpoints have. No worker reads them here."""
EVIL = "<img src=x onerror=\"document.title='evil'\"> \"quotes\" 'n' \\back $HOME `x` ${y} 🔴"


@pytest.fixture(scope="module")
def platform(s3, tmp_path_factory):
    log, loras = tmp_path_factory.mktemp("platform") / "worker.log", tmp_path_factory.mktemp("l")
    for name in LORAS:
        (loras / name).touch()
    with serving_both(s3, log, LORA_DIR=str(loras)) as running:
        yield running


@pytest.fixture(scope="module")
def playground(platform, playground_python, tmp_path_factory):
    log = tmp_path_factory.mktemp("playground") / "playground.log"
    with playing(playground_python, log, PORT=platform.url.rpartition(":")[2]) as url:
        yield url


@pytest.fixture
def visit(browser, playground):
    with visiting(browser, playground) as open_page:
        yield open_page


def test_a_picture_is_drawn_as_asked_and_costs_what_was_said(visit):
    person = visit()
    person.small(seed=7)
    estimate = person["cost"].inner_text()
    person.run()
    data, name = person.done()
    assert name == "flux-dev-7.jpg"
    made = read_parameters(data)
    assert made["prompt"] == "a red circle on a white background"
    assert (made["seed"], made["num_inference_steps"], made["guidance"]) == (7, 2, 7.5)
    assert person.fact("Cost") == re.search(r"\$[\d.]+", estimate)[0] == "$0.00131072"
    assert person.fact("Seed") == "7"
    assert person.fact("In the queue").endswith(" s")
    assert person.fact("At work").endswith(" s")


def test_the_seed_that_was_drawn_can_be_used_again(visit):
    person = visit()
    person.small(seed=-1)
    person.run()
    first, _ = person.done()
    seed = person.fact("Seed")
    assert read_parameters(first)["seed"] == int(seed)
    person["use_seed"].click()
    expect(person.field("seed")).to_have_value(seed)
    person.run()
    expect(person["gallery"].locator("img")).to_have_count(2)
    assert person.done()[0] == first
    person["dice"].click()
    expect(person.field("seed")).not_to_have_value(seed)
    assert 0 <= int(person.field("seed").input_value()) < 2**32


def test_size_and_model_set_the_documented_costs(visit):
    person = visit()
    for width, height, cost in ((1024, 1024, "0.02097152"), (512, 512, "0.00524288")):
        person.type(width=width, height=height)
        person.sees("cost", f"${cost}")
    person.page.get_by_role("button", name="16:9").click()
    expect(person.field("width")).to_have_value("1360")
    expect(person.field("height")).to_have_value("768")
    person.sees("cost", "$0.0208896 for 1.04448 megapixels")
    person.page.get_by_label("FLUX.1-schnell").check()
    expect(person.field("num_inference_steps")).to_have_value("4")
    person.sees("num_inference_steps", "1–8")
    person.sees("cost", "$0.002506752")
    expect(person.field("endpoint_id")).to_have_value(SCHNELL)
    person.type(price="1")
    person.sees("cost", "$1.04448")


def test_what_is_wrong_is_said_beside_its_field_and_nothing_is_sent(visit, platform):
    person = visit()
    before = platform("GET", f"/v2/{DEV}/health")[1]["jobs"]
    person.type(prompt="a red circle", width=2000, seed="x")
    person.sees("width", "width must be between 256 and 1536 (got 2000)")
    person.sees("seed", 'seed must be an integer between -1 and 9223372036854775807 (got "x")')
    person.type(lora_0="owner/name", lora_scale_0=0.5)
    person.type(lora_1="http://host/x", lora_scale_1=9)
    person.sees("lora_1", "loras[1].path must be an https URL")
    person.sees("lora_scale_1", "loras[1].scale must be between -4.0 and 4.0 (got 9)")
    person.run()
    person.sees("said", "Invalid parameter: width must be between 256 and 1536 (got 2000); seed")
    person["lora_remove_0"].click()
    person.sees("lora_0", "loras[0].path must be an https URL")
    expect(person.field("lora_scale_0")).to_have_value("9")
    expect(person["lora_2"]).to_be_hidden()
    person["lora_remove_0"].click()
    expect(person.field("lora_0")).to_have_value("")
    expect(person["lora_1"]).to_be_hidden()
    person.type(width=256, seed=1, prompt="")
    person.sees("width", "256–1536")
    person.run()
    person.sees("prompt", "prompt is required")
    assert platform("GET", f"/v2/{DEV}/health")[1]["jobs"] == before


def test_a_cancelled_run_frees_the_gpu_for_the_next(visit, platform):
    person = visit()
    person.type(prompt="a blue star", num_inference_steps=50)
    person.run()
    person.sees("state", "of 50")
    expect(person["state"].locator("progress")).to_be_visible()
    expect(person["state"].locator("img.preview")).to_be_visible()
    person.sees("state", "seconds left")
    person.picture("while-it-runs")
    person["cancel"].click()
    person.sees("state", "Cancelled.")
    person.small()
    person.run()
    person.done()
    jobs = platform("GET", f"/v2/{DEV}/health")[1]["jobs"]
    assert jobs["inProgress"] == jobs["inQueue"] == 0


def test_several_runs_wait_and_a_closed_page_loses_none(visit):
    person = visit()
    person.small()
    runs = person.page.locator("#under_way label, #gallery button img")
    for number, prompt in enumerate(("a red circle", "a blue star", "a green square"), start=1):
        person.type(prompt=f"{prompt} on a white background")
        person.run()
        expect(runs).to_have_count(number)
    context = person.page.context
    person.page.close()
    back = Visitor(person.watched)
    back.page = context.new_page()
    back.page.goto(person.watched.requests[0])
    expect(back["gallery"].locator("img")).to_have_count(3)
    expect(back["under_way"]).to_be_hidden()


def test_a_picture_of_the_gallery_gives_its_parameters_back(visit):
    person = visit()
    person.small("a red circle on a white background", seed=11, guidance=3.5)
    person.run()
    person.done()
    person.type(prompt="a blue star", seed=12)
    person.page.get_by_label("FLUX.1-schnell").check()
    expect(person.field("num_inference_steps")).to_have_value("4")
    person.run()
    expect(person["gallery"].locator("img")).to_have_count(2)
    person.sees("state", "Done.")
    person["gallery"].locator("button").nth(1).click()
    person.sees("state", "11")
    person["use_parameters"].click()
    expect(person.field("prompt")).to_have_value("a red circle on a white background")
    for name, value in (("seed", "11"), ("guidance", "3.5"), ("num_inference_steps", "2")):
        expect(person.field(name)).to_have_value(value)
    expect(person.page.get_by_label("FLUX.1-dev")).to_be_checked()
    expect(person.field("endpoint_id")).to_have_value(DEV)
    person["forget"].click()
    expect(person["gallery"].locator("img")).to_have_count(1)


def test_a_file_that_is_dropped_anywhere_gives_its_parameters_back(visit):
    made = {"prompt": EVIL, "negative_prompt": "blue\nor green", "seed": 2**63 - 1}
    loras = [{"path": f"{EVIL[:9]}{number}", "scale": number / 4} for number in range(5)]
    carried = {**made, "loras": loras, "model": "FLUX.1-schnell"}
    file = encode(np.zeros((16, 16, 3), np.uint8), "jpeg", carried)
    person = visit()
    dropped = person.page.evaluate_handle(
        """(data) => {
            const files = new DataTransfer();
            files.items.add(new File([Uint8Array.from(atob(data), c => c.charCodeAt(0))], "x.jpg"));
            return files;
        }""",
        base64.b64encode(file.data).decode(),
    )
    person.page.dispatch_event("h1", "drop", {"dataTransfer": dropped})
    person.sees("file_said", "parameters of a picture by FLUX.1-schnell")
    for name, value in made.items():
        expect(person.field(name)).to_have_value(str(value))
    for number, lora in enumerate(loras):
        expect(person.field(f"lora_{number}")).to_have_value(lora["path"])
        expect(person.field(f"lora_scale_{number}")).to_have_value(f"{lora['scale']:g}")
    expect(person.page.get_by_label("FLUX.1-schnell")).to_be_checked()
    expect(person.field("num_inference_steps")).to_have_value("4")


def test_every_press_is_a_run(visit):
    person = visit()
    person.small()
    for _ in range(4):
        person.run()
        person.page.wait_for_timeout(60)
    runs = person.page.locator("#under_way label, #gallery button img")
    expect(runs).to_have_count(4)
    expect(person["gallery"].locator("img")).to_have_count(4)


def test_a_file_without_parameters_is_said_to_have_none(visit, tmp_path):
    person = visit()
    plain = tmp_path / "plain.png"
    Image.new("RGB", (8, 8)).save(plain)
    for content in (plain.read_bytes(), b"nonsense"):
        plain.write_bytes(content)
        person["file"].locator("input[type=file]").set_input_files(plain)
        person.sees("file_said", "no" if content == b"nonsense" else "carries no parameters")


def test_raw_json_is_what_the_endpoint_answered(visit, platform):
    person = visit()
    person.small()
    person.run()
    person.done()
    person.choose("show", "Raw JSON")
    expect(person["raw"]).to_be_visible()
    expect(person["picture"]).to_be_hidden()
    shown = json.loads("".join(person["raw"].locator(".cm-line").all_inner_texts()))
    assert shown == platform("GET", f"/v2/{DEV}/status/{shown['id']}")[1]


def test_every_piece_of_code_is_copied_as_it_is_shown(visit, platform):
    person = visit(permissions=CLIPBOARD)
    person.small(EVIL, seed=7)
    for number, name in enumerate(LORAS):
        person.choose(f"lora_{number}", name)
    person.type(lora_scale_1=-0.5, key="a-secret-key")
    person.sees("cost", "$0.00131072 for 0.065536 megapixels")
    person.page.get_by_role("tab", name="API").click()
    parameters = {"prompt": EVIL, "width": 256, "height": 256, "num_inference_steps": 2, "seed": 7}
    parameters["loras"] = [{"path": LORAS[0], "scale": 1.0}, {"path": LORAS[1], "scale": -0.5}]
    for language in SNIPPETS:
        person.choose("language", language)
        operation = "run" if language.startswith("Python") else "runsync"
        person.choose("operation", f"/{operation}")
        wanted = write(
            language, Call(f"{platform.url}/v2", DEV, MODELS["dev"], parameters, operation)
        )
        assert copied(person, wanted.rstrip()) == wanted.rstrip()
    person["everything"].locator("input").check()
    assert "true_cfg_scale" in copied(person, "true_cfg_scale")


def copied(person, wanted="YOUR_API_KEY"):
    """Press the button until the clipboard has what is wanted: the page takes a moment."""
    for _ in range(50):
        person["code"].get_by_role("button", name="Copy").first.click()
        text = person.page.evaluate("navigator.clipboard.readText()")
        if wanted in text:
            break
        person.page.wait_for_timeout(100)
    return text


def drawn():
    """What an endpoint without a bucket answers of a finished job."""
    file = encode(np.full((256, 256, 3), 200, np.uint8), "png", {"prompt": "x", "seed": 7})
    return report("COMPLETED", output={"image_url": file.data_url, "cost": 0.00131072})


def test_a_wrong_key_is_said_and_the_right_one_is_kept_nowhere(visit, playground_python, tmp_path):
    key = "a-secret-key-that-is-right"
    temporary, log = tmp_path / "temporary", tmp_path / "playground.log"
    temporary.mkdir()
    with (
        scripted(key, status=drawn()) as endpoint,
        playing(
            playground_python, log, ENDPOINT_URL=endpoint.place().url, TMPDIR=str(temporary)
        ) as url,
    ):
        person = visit(url, permissions=CLIPBOARD)
        person.small()
        person.field("lora_0").click()
        expect(person.page.get_by_role("option")).to_have_count(0)
        person.type(lora_scale_0=0.5, lora_0="owner/name")
        person.page.keyboard.press("Control+Enter")
        person.sees("state", "wants an API key")
        assert endpoint.asked[0][1]["input"]["loras"] == [{"path": "owner/name", "scale": 0.5}]
        person.type(key="wrong")
        person.run()
        person.sees("state", "refuses this API key")
        person.type(key=key)
        person.run()
        person.done()
        person.page.get_by_role("tab", name="API").click()
        assert key not in copied(person)
        assert key not in "".join(person.watched.requests)
        stored = person.page.evaluate("JSON.stringify([{...localStorage}, {...sessionStorage}])")
        assert key not in stored
        files = [path for path in temporary.rglob("*") if path.is_file()]
        assert files, "the picture is one"
        assert not [path for path in files if key.encode() in path.read_bytes()]
        person.page.reload()
        expect(person["gallery"].locator("img")).to_have_count(1)
        assert person.field("key").input_value() == ""
        person["gallery"].locator("button").click()
        person.sees("state", "owner/name × 0.5")
        person["use_parameters"].click()
        expect(person.field("lora_0")).to_have_value("owner/name")
        expect(person.field("lora_scale_0")).to_have_value("0.5")
    assert key not in log.read_text()
    assert "red circle" not in log.read_text()
    assert "Traceback" not in log.read_text()
    assert list(temporary.iterdir()) == []


@pytest.mark.parametrize("ending", [signal.SIGINT, signal.SIGHUP])
def test_a_closed_terminal_ends_it_as_ctrl_c_does(playground_python, tmp_path, ending):
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    named = {"ENDPOINT_URL": "http://127.0.0.1:1/v2/abc", "TMPDIR": str(temporary)}
    with playing(playground_python, tmp_path / "log", ending, **named) as url:
        urlopen(url).close()
        assert list(temporary.iterdir())
    assert list(temporary.iterdir()) == []


def test_a_playground_for_others_asks_no_private_address_that_they_name(
    visit, playground_python, tmp_path
):
    with (
        scripted(status=drawn()) as named,
        scripted(status=drawn()) as hidden,
        playing(
            playground_python,
            tmp_path / "log",
            ENDPOINT_URL=named.place().url,
            PLAYGROUND_HOST="0.0.0.0",
        ) as url,
    ):
        person = visit(url)
        person.small()
        person.run()
        person.done()
        person.type(base_url=f"{hidden.url}/v2")
        person.run()
        person.sees("state", "only whoever runs this playground may name such an endpoint")
        assert not hidden.asked


def test_an_endpoint_that_goes_away_is_asked_again(visit, playground_python, tmp_path):
    done = report("COMPLETED", output={"image_url": "data:image/png;base64,AAAA", "cost": 0.1})
    draws = report("IN_PROGRESS", output={"step": 1, "steps": 28, "percent": 4, "eta_seconds": 9})
    with scripted(status=draws) as endpoint:
        place = endpoint.place()
        with playing(playground_python, tmp_path / "log", ENDPOINT_URL=place.url) as url:
            person = visit(url)
            person.type(prompt="a red circle")
            person.run()
            person.sees("state", "Step 1 of 28, 9 seconds left.")
            endpoint.answers["status"] = [(502, b"")]
            person.sees("state", "is out of order (HTTP 502). Asking again; the job goes on there.")
            endpoint.answers["status"] = [report("FAILED", error=EVIL)]
            person.sees("state", EVIL)
            endpoint.answers["status"] = [done]
            person.run()
            person.sees("state", "neither JPEG nor PNG")
            assert person.page.title() == "FLUX playground"


def test_nothing_that_an_endpoint_answers_breaks_the_page(visit, playground_python, tmp_path):
    nested = b'{"status": "FAILED", "error": "nested", "x": ' + b"[" * 900 + b"]" * 900 + b"}"
    for_nothing = drawn()[1]["output"] | {"cost": 0}
    huge = report("IN_PROGRESS", output={"step": 3, "steps": 28, "eta_seconds": 10**400})
    with scripted() as endpoint:
        place = endpoint.place()
        with playing(playground_python, tmp_path / "log", ENDPOINT_URL=place.url) as url:
            person = visit(url)
            person.type(prompt="a red circle")
            for answer, told in (
                (huge, "Step 3 of 28."),
                ((200, b'{"status": "FAILED", "error": "half \\ud83d of it"}'), "half ? of it"),
                (report("FAILED", error="long " * 1_000_000), "long long"),
                ((200, nested), "nested"),
                (report("COMPLETED", output=for_nothing, executionTime=10**400), "$0"),
            ):
                endpoint.answers["status"] = [answer]
                person.run()
                person.sees("state", told)
            assert "Traceback" not in (tmp_path / "log").read_text()


def test_a_key_goes_to_no_other_host_than_it_was_typed_for(visit):
    person = visit()
    person.type(key="a-secret-key", endpoint_id="another")
    assert person.field("key").input_value() == "a-secret-key"
    person.type(base_url="https://elsewhere.example/v2")
    expect(person.field("key")).to_have_value("")


def test_keys_that_are_held_run_once_and_half_a_number_not_at_all(visit, platform):
    person = visit()
    person.small()
    runs = person.page.locator("#under_way label, #gallery button img")
    keyboard = person.page.keyboard
    person.field("num_inference_steps").click()
    keyboard.press("Control+A")
    keyboard.type("1e")
    keyboard.press("Control+Enter")
    person.type(num_inference_steps=2)
    keyboard.down("Control")
    for _ in range(5):
        keyboard.down("Enter")
        person.page.wait_for_timeout(100)
    keyboard.up("Enter")
    keyboard.up("Control")
    assert read_parameters(person.done()[0])["num_inference_steps"] == 2
    expect(runs).to_have_count(1)


def test_two_tabs_show_the_same_runs(visit, playground):
    person = visit()
    other = Visitor(person.watched)
    other.page = person.page.context.new_page()
    other.page.goto(playground)
    other.sees("cost", "megapixels")
    other.small()
    other.run()
    other.done()
    expect(person["gallery"].locator("img")).to_have_count(1)


def test_a_file_of_anybody_breaks_nothing(visit, playground_python, tmp_path):
    file = tmp_path / "made.png"
    with (
        scripted() as endpoint,
        playing(playground_python, tmp_path / "log", ENDPOINT_URL=endpoint.place().url) as url,
    ):
        person = visit(url)
        for carried, told in (
            ({"prompt": {"a": 1}, "width": "wide", "seed": []}, "isn't a worker's parameters"),
            ({"prompt": EVIL, "loras": [{"path": "../x"}]}, "isn't a worker's parameters"),
            ({"prompt": EVIL, "seed": 7, "model": EVIL}, "a picture by <img"),
            ({"prompt": EVIL, "seed": 8, "model": "FLUX.1-schnell"}, "by FLUX.1-schnell"),
        ):
            made = encode(np.zeros((16, 16, 3), np.uint8), "png", carried)
            file.write_bytes(base64.b64decode(made.data_url.partition(",")[2]))
            person["file"].locator("input[type=file]").set_input_files(file)
            person.sees("file_said", told)
        expect(person.field("seed")).to_have_value("8")
        expect(person.page.get_by_label("png")).to_be_checked()
        person.sees("cost", "$0.0025165824")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_texts_stand_out_by_day_and_by_night(visit, scheme):
    person = visit(color_scheme=scheme)
    person.small("a yellow star on a blue background", seed=7)
    person.run()
    person.done()
    person.type(lora_0="owner/name", width=2000, lora_1="http://host/x", seed=8)
    person.sees("width", "must be between")
    person.sees("lora_1", "must be an https URL")
    is_dark = person.page.evaluate("document.body.classList.contains('dark')")
    assert is_dark == (scheme == "dark")
    assert person.page.evaluate(CONTRASTS) == []
    person.page.get_by_role("tab", name="API").click()
    assert person.page.evaluate(CONTRASTS) == []
    person.picture(f"wrong-size-{scheme}")


def test_a_phone_shows_all_of_it(visit):
    person = visit(viewport=PHONE)
    person.small()
    person.run()
    person.done()
    person.picture("phone")
    for tab in ("API", "Input"):
        person.page.get_by_role("tab", name=tab).click()
        assert person.page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]
    for control in person.page.locator("button:visible, input:visible, textarea:visible").all():
        box = control.bounding_box()
        assert box["x"] >= 0
        assert box["x"] + box["width"] <= PHONE["width"]


def test_everything_can_be_done_with_the_keyboard(visit):
    person = visit()
    keyboard, focused = person.page.keyboard, []

    def tab_to(selector, presses=60):
        for _ in range(presses):
            keyboard.press("Tab")
            focused.append(person.page.evaluate("document.activeElement.closest('[id]')?.id"))
            if person.page.evaluate("s => document.activeElement.matches(s)", selector):
                return
        raise AssertionError(f"{selector} isn't reached: {focused}")

    tab_to("#prompt textarea")
    keyboard.type("a red circle on a white background")
    for name in ("width", "height", "num_inference_steps"):
        tab_to(f"#{name} input")
        keyboard.press("Control+A")
        keyboard.type("2" if name == "num_inference_steps" else "256")
    person.sees("cost", "$0.00131072")
    keyboard.press("Control+Enter")
    person.sees("state", "Done.")
    tab_to("#show input")
    tab_to("#download, #download *")
    tab_to("#use_seed")
    keyboard.press("Enter")
    expect(person.field("seed")).to_have_value(person.fact("Seed"))
    tab_to("#gallery button")
    keyboard.press("Enter")
    tab_to("#file button, #file [tabindex]")


def test_every_field_has_a_name(visit):
    person = visit()
    for name in ("Prompt", "Negative prompt", "Seed", "Base URL", "Endpoint id", "API key"):
        expect(person.page.get_by_role("textbox", name=name).first).to_be_visible()
    for name in ("Width", "Height", "Steps", "Guidance", "True CFG scale"):
        expect(person.page.get_by_role("spinbutton", name=name)).to_be_visible()
    expect(person.page.get_by_role("combobox", name="LoRA 1")).to_be_visible()
    expect(person.page.get_by_role("spinbutton", name="Scale 1")).to_be_visible()
    unnamed = person.page.evaluate(
        """() => [...document.querySelectorAll("input, textarea, button")].filter((e) =>
            e.checkVisibility() && !e.labels?.length && !e.ariaLabel && !e.innerText?.trim()
            && !e.title).map((e) => e.outerHTML.slice(0, 200))"""
    )
    assert unnamed == []


def test_examples_are_what_the_served_model_can_draw(visit):
    person = visit()
    person.page.get_by_role("button", name="a yellow star on a blue background").click()
    expect(person.field("prompt")).to_have_value("a yellow star on a blue background")
    person.type(width=512, height=512, num_inference_steps=20, seed=3)
    person.run()
    data, _ = person.done()
    pixels = np.asarray(Image.open(io.BytesIO(data)).convert("RGB"), float)
    assert colour_name(pixels[256, 256]) == "yellow"
    assert colour_name(pixels[20, 20]) == "blue"
    person.picture("result")
    person.page.get_by_role("tab", name="API").click()
    person.picture("api")
    person.type(base_url="https://api.runpod.ai/v2")
    person.page.get_by_role("tab", name="Input").click()
    expect(person.page.get_by_role("button", name="A serene mountain landscape")).to_be_visible()


def test_pages_and_names_from_elsewhere_are_refused(playground):
    for headers in ({"Host": "evil.example"}, {"Origin": "https://evil.example"}):
        connection = http.client.HTTPConnection(playground.removeprefix("http://"), timeout=10)
        connection.request("GET", "/", headers=headers)
        assert connection.getresponse().status == 403
        connection.close()
    with urlopen(playground) as answer:
        assert "default-src 'self'" in answer.headers["Content-Security-Policy"]
