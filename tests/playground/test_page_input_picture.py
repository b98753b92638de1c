"""Pictures to start from, as people give them on the page, in a real browser."""

import base64
import io

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import expect
from running_platform import DEV, serving
from running_playground import playing
from scripted_endpoint import report, scripted
from visitor import CONTRASTS, PHONE, visiting
from waiting import until

from flux_worker.contract.catalog import KONTEXT
from flux_worker.delivery.images import encode, read_parameters
from local_platform.processes.surroundings import demo_environment

pytestmark = pytest.mark.real

RED, BLUE, GREEN = (200, 30, 30), (20, 40, 220), (10, 160, 60)
DATA = "data:image/"

SEEN_LINES = """captions => captions.map(caption => {
    const text = document.createRange();
    text.selectNodeContents(caption);
    const end = caption.getBoundingClientRect().bottom - 1;
    return new Set([...text.getClientRects()].map(line => line.top).filter(top => top < end)).size;
})"""
"""How many lines of each caption are seen, be it in part."""


def drawn(colour=GREEN):
    """What an endpoint answers of a finished job."""
    file = encode(np.full((384, 512, 3), colour, np.uint8), "png", {"prompt": "x", "seed": 7})
    return report("COMPLETED", output={"image_url": file.data_url, "cost": 0.00393216})


@pytest.fixture(scope="module")
def endpoint():
    with scripted(status=drawn()) as answering:
        yield answering


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Where the playground keeps its files, and its log."""
    return tmp_path_factory.mktemp("playground")


@pytest.fixture(scope="module")
def playground(endpoint, playground_python, folder):
    (folder / "temporary").mkdir()
    named = {"ENDPOINT_URL": endpoint.place().url, "TMPDIR": str(folder / "temporary")}
    with playing(playground_python, folder / "log", **named) as url:
        yield url


@pytest.fixture
def visit(browser, playground, endpoint):
    endpoint.asked.clear()
    with visiting(browser, playground) as open_page:
        yield open_page


def halves(width=512, height=384):
    """Return a picture whose left half is red, and whose right half is blue."""
    image = Image.new("RGB", (width, height), BLUE)
    image.paste(RED, (0, 0, width // 2, height))
    return image


def saved(folder, image, name="my picture.png", **options):
    image.save(folder / name, **options)
    return folder / name


def choose(person, path):
    person["image_file"].locator("input[type=file]").set_input_files(path)
    expect(shown(person)).to_be_visible()


def shown(person):
    return person["stage"].locator("img[alt='The input picture']")


def shown_size(person):
    expect(shown(person)).to_have_js_property("complete", True)
    return tuple(shown(person).evaluate("i => [i.naturalWidth, i.naturalHeight]"))


def sheet(person):
    return person["stage"].locator("canvas")


def paint(person, *points):
    """Draw a line through these points, in shares of the picture's sides."""
    sheet(person).scroll_into_view_if_needed()
    box = sheet(person).bounding_box()
    mouse = person.page.mouse
    for number, (x, y) in enumerate(points):
        mouse.move(box["x"] + x * box["width"], box["y"] + y * box["height"], steps=5)
        if number == 0:
            mouse.down()
    mouse.up()


def handed(person, event, path, target, text=""):
    """Have the page see a file that is dropped or pasted, which may be a picture of a text.

    Returns whether the browser is left to do what it does with it by itself.
    """
    return person.page.evaluate(
        """([event, data, target, text]) => {
            const files = new DataTransfer();
            if (text) files.setData("text/plain", text);
            const bytes = Uint8Array.from(atob(data), c => c.charCodeAt(0));
            files.items.add(new File([bytes], "image.png", { type: "image/png" }));
            const passed = { bubbles: true, cancelable: true };
            const told = event === "paste"
                ? new ClipboardEvent(event, { clipboardData: files, ...passed })
                : new DragEvent(event, { dataTransfer: files, ...passed });
            return document.querySelector(target).dispatchEvent(told);
        }""",
        [event, base64.b64encode(path.read_bytes()).decode(), target, text],
    )


def run(person, endpoint):
    """Press the button, and return the input that arrived."""

    def queued():
        return [body["input"] for kind, body, _ in endpoint.asked if kind == "run"]

    before, pictures = len(queued()), person["gallery"].locator("img").count()
    person.run()
    expect(person["gallery"].locator("img")).to_have_count(pictures + 1)
    person.sees("state", "Done.")
    assert len(queued()) == before + 1
    return queued()[-1]


def opened(url):
    return Image.open(io.BytesIO(base64.b64decode(url.partition(",")[2])))


def test_a_picture_and_a_mask_arrive_as_they_are_seen(visit, endpoint, tmp_path):
    person = visit()
    choose(person, saved(tmp_path, halves()))
    person.sees("cost", "$0.00393216 for 0.196608 megapixels: 512x384, in the picture's shape")
    expect(person.field("width")).to_have_value("")
    person.type(width=1024)
    person.sees("cost", "1024x768, in the picture's shape")
    person.type(width="")
    person.sees("cost", "512x384")
    person.type(prompt="a red circle", seed=7)
    paint(person, (0.25, 0.5), (0.4, 0.5))
    asked = run(person, endpoint)
    assert not asked.keys() & {"width", "height"}, "the picture decides them"
    assert asked["strength"] == 0.8
    picture, mask = opened(asked["image"]), opened(asked["mask_image"])
    assert picture.size == mask.size == (512, 384)
    assert [picture.getpixel((x, 190)) for x in (100, 400)] == [RED, BLUE]
    assert mask.mode == "1", "black and white alone, and nothing clear"
    assert [mask.getpixel(at) for at in ((140, 192), (200, 192), (300, 192), (160, 100))] == (
        [255, 255, 0, 0]
    )
    assert person.fact("Made by") == "Inpainting, strength 0.8"


def test_a_mask_can_be_erased_cleared_and_saved(visit, endpoint, tmp_path):
    person = visit()
    choose(person, saved(tmp_path, halves()))
    person.type(prompt="a red circle")
    paint(person, (0.1, 0.5), (0.9, 0.5))
    person["erase"].locator("input").check()
    paint(person, (0.5, 0.5), (0.9, 0.5))
    with person.page.expect_download() as download:
        person["save_mask"].click()
    mask = Image.open(download.value.path()).convert("L")
    assert download.value.suggested_filename == "mask.png"
    assert [mask.getpixel((x, 192)) for x in (100, 200, 300, 400)] == [255, 255, 0, 0]
    person["clear_mask"].click()
    asked = run(person, endpoint)
    assert "mask_image" not in asked
    assert person.fact("Made by") == "Image to image, strength 0.8"


def test_a_photograph_is_upright_before_it_is_painted_on(visit, endpoint, tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned to the right
    person = visit()
    choose(person, saved(tmp_path, halves(), "photo.jpg", exif=exif, quality=95))
    assert shown_size(person) == (384, 512)
    person.type(prompt="a red circle")
    paint(person, (0.5, 0.1), (0.5, 0.2))
    asked = run(person, endpoint)
    picture, mask = opened(asked["image"]), opened(asked["mask_image"])
    assert picture.size == mask.size == (384, 512)
    assert not picture.getexif()
    upper, lower = (picture.getpixel((192, y)) for y in (100, 400))
    assert upper[0] > 150 > lower[0]
    assert [mask.getpixel((192, y)) for y in (80, 400)] == [255, 0]


def test_a_picture_that_is_too_large_is_made_smaller(visit, endpoint, tmp_path):
    noise = np.random.default_rng(0).integers(0, 256, (2400, 3600, 3), np.uint8)
    file = saved(tmp_path, Image.fromarray(noise), compress_level=0)
    assert file.stat().st_size > 25_000_000
    person = visit()
    choose(person, file)
    assert shown_size(person) == (1536, 1024)
    person.sees("cost", "1536x1024, in the picture's shape")
    person.type(prompt="a red circle")
    asked = run(person, endpoint)
    assert opened(asked["image"]).size == (1536, 1024)
    assert len(str(asked)) < 10_000_000


def test_pictures_are_pasted_dropped_and_removed(visit, endpoint, tmp_path, folder):
    person = visit()
    person.type(prompt="a red circle", width=640)
    handed(person, "paste", saved(tmp_path, halves()), "#prompt textarea")
    expect(shown(person)).to_be_visible()
    assert shown_size(person) == (512, 384)
    expect(person.field("width")).to_have_value("640")
    paint(person, (0.2, 0.5), (0.4, 0.5))
    person.type(width=1024)
    handed(person, "drop", saved(tmp_path, halves(300, 600)), "#strength")
    person.sees("cost", "$0.02097152 for 1.048576 megapixels")
    expect(sheet(person)).to_have_attribute("height", "600")
    asked = run(person, endpoint)
    assert opened(asked["image"]).size == (300, 600)
    assert "mask_image" not in asked, "it was the other picture's"
    person["remove"].click()
    expect(person["stage"].locator("img")).to_have_count(0)
    expect(person["image_file"]).to_be_visible()
    expect(person["strength"]).to_be_hidden()
    expect(person.field("width")).to_have_value("1024")
    asked = run(person, endpoint)
    assert not asked.keys() & {"image", "mask_image", "strength"}
    assert (asked["width"], asked["height"]) == (1024, 1024)


def test_a_text_that_comes_with_its_picture_is_pasted_as_text(visit, tmp_path):
    person = visit()
    picture = saved(tmp_path, halves())
    assert handed(person, "paste", picture, "#prompt textarea", "as word processors copy it")
    assert not handed(person, "paste", picture, "body", "as word processors copy it")
    expect(shown(person)).to_be_visible()


def test_what_is_no_picture_is_said_to_be_none(visit, tmp_path):
    person = visit()
    for content in (b"nonsense", b"\x89PNG\r\n\x1a\n"):
        (tmp_path / "x.png").write_bytes(content)
        person["image_file"].locator("input[type=file]").set_input_files(tmp_path / "x.png")
        person.sees("image_said", "That file is")
    choose(person, saved(tmp_path, halves(2000, 200)))
    expect(person["image_said"]).to_be_hidden()
    person.sees("cost", "Image is 1536x154, and in that shape it would be made 1536x154")
    person.type(width=512, height=512)
    person.sees("cost", "$0.00524288")


def test_a_result_is_compared_and_taken_as_the_next_picture(visit, endpoint, tmp_path):
    person = visit()
    choose(person, saved(tmp_path, halves()))
    person.type(prompt="a green circle", strength=0.6)
    paint(person, (0.6, 0.5), (0.8, 0.5))
    first = run(person, endpoint)
    assert first["strength"] == 0.6
    assert person.fact("Made by") == "Inpainting, strength 0.6"
    person.choose("show", "Before and after")
    expect(person["picture"]).to_be_hidden()
    before = person["comparison"].get_by_alt_text("Before")
    after = person["comparison"].get_by_alt_text("After")
    expect(after).to_be_visible()
    until(lambda: before.bounding_box() == after.bounding_box())
    at = person.page.get_by_role("slider", name="Before and after")
    at.focus()
    person.page.keyboard.press("Home")
    expect(after).to_have_css("clip-path", "inset(0px 0px 0px 0%)")
    person.page.keyboard.press("PageUp")
    person.picture("comparison")

    person["use_image"].click()
    expect(person.field("width")).to_have_value("")
    expect(shown(person)).to_be_visible()
    person.type(prompt="a blue circle")
    second = run(person, endpoint)
    assert opened(second["image"]).getpixel((5, 5)) == GREEN
    assert "mask_image" not in second
    person["remove"].click()
    expect(person["strength"]).to_be_hidden()

    expect(person["gallery"].locator("img")).to_have_count(2)
    person.sees("gallery", "a green circle (inpainting, strength 0.6)")
    person["gallery"].locator("button").nth(1).click()
    person.sees("state", "Inpainting")
    person["use_parameters"].click()
    expect(shown(person)).to_be_visible()
    expect(person.field("prompt")).to_have_value("a green circle")
    expect(person.field("width")).to_have_value("")
    third = run(person, endpoint)
    assert third["image"] == first["image"]
    assert third["mask_image"] == first["mask_image"]
    assert third["strength"] == 0.6


def test_the_code_reads_the_pictures_from_files(visit, tmp_path):
    person = visit()
    choose(person, saved(tmp_path, halves()))
    person.type(prompt="a green circle", width=1024, height=1024)
    paint(person, (0.6, 0.5), (0.8, 0.5))
    person.page.get_by_role("tab", name="API").click()
    person.sees("code", '"image": data_url("image/png", "picture.png"),')
    person.sees("code", '"mask_image": data_url("image/png", "mask.png"),')
    person.sees("code", '"width": 1024,')
    assert len(person["code"].inner_text()) < 3_000


def test_a_file_that_was_made_of_a_picture_asks_for_that(visit, tmp_path):
    carried = {"prompt": "a red circle", "task": "image-to-image", "strength": 0.35, "seed": 5}
    file = encode(np.zeros((16, 16, 3), np.uint8), "png", {**carried, "model": "FLUX.1-dev"})
    (tmp_path / "made.png").write_bytes(file.data)
    person = visit()
    person["file"].locator("input[type=file]").set_input_files(tmp_path / "made.png")
    person.sees("image_said", "It was made of a picture, which isn't here any more")
    choose(person, saved(tmp_path, halves()))
    expect(person.field("strength")).to_have_value("0.35")
    expect(person["image_said"]).to_be_hidden()


def test_kontext_wants_a_picture_and_neither_mask_nor_strength(visit, endpoint, tmp_path):
    person = visit()
    choose(person, saved(tmp_path, halves()))
    paint(person, (0.6, 0.5), (0.8, 0.5))
    person.type(prompt="make the background white")
    person.page.get_by_label("FLUX.1-Kontext-dev").check()
    expect(sheet(person)).to_be_hidden()
    for name in ("strength", "brush", "clear_mask"):
        expect(person[name]).to_be_hidden()
    expect(person.field("guidance")).to_have_value("2")
    expect(person.field("width")).to_have_value("1024")
    person.sees("cost", "$0.025 for an image of any size")
    expect(person.page.get_by_role("button", name="Make it a rainy night")).to_be_visible()
    expect(person.page.get_by_label("png")).to_be_checked()
    asked = run(person, endpoint)
    assert opened(asked["image"]).size == (512, 384)
    assert not asked.keys() & {"mask_image", "strength"}
    assert (asked["width"], asked["height"], asked["guidance"]) == (1024, 1024, 2)
    assert person.fact("Made by") == "Editing"
    before = len(endpoint.asked)
    person["remove"].click()
    expect(person["image_file"]).to_be_visible()
    person.sees("image_file", "to edit")
    person.run()
    person.sees("said", "image is required: drop, paste or choose a picture")
    assert len(endpoint.asked) == before


def test_nothing_of_a_picture_or_a_prompt_stays(visit, endpoint, tmp_path, folder):
    person = visit()
    kept = folder / "temporary"

    def files():
        return {path for path in kept.rglob("*") if path.suffix in (".png", ".jpg")}

    choose(person, saved(tmp_path, halves(444, 333)))
    person.type(prompt="a very secret circle")
    paint(person, (0.6, 0.5), (0.8, 0.5))
    run(person, endpoint)
    (asked,) = [body["input"] for kind, body, _ in endpoint.asked if kind == "run"]
    given = {base64.b64decode(asked[name].partition(",")[2]) for name in ("image", "mask_image")}
    given.add((tmp_path / "my picture.png").read_bytes())
    assert len([each for each in files() if each.read_bytes() in given]) >= 4
    stored = person.page.evaluate("JSON.stringify({...localStorage})")
    assert len(stored) < 3_000
    person["remove"].click()
    expect(person["image_file"]).to_be_visible()
    person["forget"].click()
    expect(person["gallery"]).to_be_hidden()
    assert not [each for each in files() if each.read_bytes() in given]
    assert "secret" not in (folder / "log").read_text()
    assert DATA not in (folder / "log").read_text()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_texts_stand_out_beside_a_picture(visit, tmp_path, scheme):
    person = visit(color_scheme=scheme)
    choose(person, saved(tmp_path, halves()))
    person.type(prompt="a red circle")
    paint(person, (0.3, 0.5), (0.7, 0.6))
    person.sees("cost", "in the picture's shape")
    person.picture(f"input-picture-{scheme}")
    assert person.page.evaluate(CONTRASTS) == []


def test_a_phone_shows_all_of_a_picture(visit, endpoint, tmp_path):
    person = visit(viewport=PHONE)
    choose(person, saved(tmp_path, halves(600, 900)))
    person.type(prompt="a red circle on a white background, and beside it nothing")
    paint(person, (0.3, 0.5), (0.7, 0.6))
    run(person, endpoint)
    person.choose("show", "Before and after")
    expect(person["comparison"].locator("img").first).to_be_visible()
    person.picture("input-picture-phone")
    captions = person["gallery"].locator(".caption-label")
    assert captions.evaluate_all(SEEN_LINES) == [3], "no fourth one peeks out"
    assert person.page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]
    for control in person.page.locator("button:visible, input:visible, canvas:visible").all():
        box = control.bounding_box()
        assert box["x"] >= 0
        assert box["x"] + box["width"] <= PHONE["width"]


@pytest.fixture(scope="module")
def platform(s3, tmp_path_factory):
    """Dev and Kontext, each on its own demo weights."""
    each = [demo_environment({**s3.environment, "FLUX_MODEL": m}) for m in ("dev", "kontext")]
    log = tmp_path_factory.mktemp("platform") / "worker.log"
    with serving(1, each, log_file=log, ids=(DEV, KONTEXT.endpoint_id)) as running:
        yield running


def test_pictures_are_made_of_pictures_for_real(browser, platform, playground_python, tmp_path):
    port = platform.url.rpartition(":")[2]
    with (
        playing(playground_python, tmp_path / "log", PORT=port) as url,
        visiting(browser, url) as visit,
    ):
        person = visit()
        choose(person, saved(tmp_path, halves(300, 260)))
        person.sees("cost", "$0.00156 for 0.078 megapixels: 300x260, in the picture's shape")
        person.type(prompt="a red circle on a white background", num_inference_steps=4, seed=7)
        paint(person, (0.2, 0.5), (0.3, 0.5))
        person.run()
        data, _ = person.done()
        made = Image.open(io.BytesIO(data))
        assert made.size == (300, 260)
        assert person.fact("Cost") == "$0.00156"
        assert read_parameters(data)["task"] == "inpainting"
        red, green, blue = made.getpixel((280, 130))
        assert blue > 180 > 90 > max(red, green), "what wasn't painted over is the picture's"

        person.page.get_by_label("FLUX.1-Kontext-dev").check()
        expect(person.field("guidance")).to_have_value("2")
        person.type(width=256, height=256, num_inference_steps=2)
        person.sees("cost", "$0.025 for an image")
        person.run()
        expect(person["gallery"].locator("img")).to_have_count(2)
        data, name = person.done()
        assert name == "flux-kontext-7.png"
        assert Image.open(io.BytesIO(data)).size == (256, 256)
        assert person.fact("Cost") == "$0.025"
