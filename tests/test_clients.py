"""The official clients and the documented examples, unmodified but for the host and the key."""

import ast
import asyncio
import base64
import io
import json
import os
import re
import shutil
import subprocess
import sys

import aiohttp
import loopback
import pytest
import requests
import runpod
from conftest import ROOT, SMALL
from fake_web import certificate
from pictures import DOCUMENTED_EDIT
from PIL import Image, ImageChops, ImageStat
from running_platform import DEV, KONTEXT, SCHNELL, serving_both, serving_kontext

from builder.demo_loras.judge import look_closely

pytestmark = pytest.mark.real

README = (ROOT / "README.md").read_text()
FEW_STEPS = {"runpod": {"num_inference_steps": 2}}


def bluebird():
    """A picture's file."""
    picture = Image.new("RGB", (320, 256), "white")
    picture.paste("blue", (96, 64, 224, 192))
    file = io.BytesIO()
    picture.save(file, "PNG")
    return file.getvalue()


def apart(one, other):
    """By how much two pictures differ: the mean over pixels and channels, of 0 to 255."""
    return sum(ImageStat.Stat(ImageChops.difference(one, other.convert("RGB"))).mean) / 3


@pytest.fixture(scope="module")
def platform(s3, tmp_path_factory):
    with serving_both(s3, tmp_path_factory.mktemp("clients") / "worker.log") as running:
        yield running


@pytest.fixture(scope="module")
def web():
    """Return the address of a server by TLS that has a picture at /bluebird.png alone."""

    def give(request):
        found = request.path == "/bluebird.png"
        request.answer(200 if found else 404, bluebird() if found else b"no")

    with loopback.serving(give, certificate()[0]) as url:
        yield url.replace("127.0.0.1", "localhost")


@pytest.fixture(scope="module")
def kontext(s3, tmp_path_factory):
    folder = tmp_path_factory.mktemp("kontext")
    authority = folder / "authority.pem"
    authority.write_text(certificate()[1])
    with serving_kontext(s3, folder, SSL_CERT_FILE=str(authority)) as running:
        yield running


@pytest.fixture(scope="module")
def node(javascript):
    """Run one of the scripts with Node.js and return what it prints."""
    return lambda script, **options: json.loads(javascript(script, json.dumps(options)))


def called(node, platform, model, **options):
    """Call the AI SDK; return the images, or its error."""
    base = f"{platform.url}/v2/black-forest-labs-{model}"
    asked = {"model": f"black-forest-labs/{model}", "baseURL": base, "prompt": "x", **options}
    answer = node("ai_sdk.mjs", **asked)
    images = answer.get("images", [])
    return answer.get("error") or [Image.open(io.BytesIO(base64.b64decode(i))) for i in images]


@pytest.fixture
def ai_sdk(platform, node):
    """Call it for one of the models that make images from text."""
    return lambda model="flux-1-dev", **options: called(node, platform, model, **options)


@pytest.fixture
def ai_sdk_editing(kontext, node):
    """Call it for Kontext, with a picture's file in the prompt."""

    def edit(**options):
        prompt = {"text": "make it red", "images": [base64.b64encode(bluebird()).decode()]}
        return called(node, kontext, "flux-1-kontext-dev", **{"prompt": prompt, **options})

    return edit


@pytest.mark.parametrize(
    ("options", "size"),
    [
        ({"model": "flux-1-schnell"}, (1328, 1328)),
        ({"aspectRatio": "4:3", "providerOptions": FEW_STEPS}, (1472, 1140)),
        ({"aspectRatio": "3:4", "providerOptions": FEW_STEPS}, (1140, 1472)),
        ({"size": "768x512", "providerOptions": FEW_STEPS}, (768, 512)),
    ],
)
def test_the_ai_sdk_gets_the_size_it_asks_for(ai_sdk, options, size):
    (image,) = ai_sdk(**options)
    assert (image.size, image.format) == (size, "PNG")


def test_the_ai_sdks_seed_is_the_workers(ai_sdk):
    given = {"size": "512x512", "providerOptions": FEW_STEPS}
    same, again, other = (ai_sdk(**given, seed=seed)[0] for seed in (5, 5, 6))
    assert same.tobytes() == again.tobytes() != other.tobytes()


def test_the_ai_sdk_gets_two_images_with_its_options(ai_sdk):
    options = {**FEW_STEPS["runpod"], "guidance": 0, "negative_prompt": "red", "output_format": "x"}
    images = ai_sdk(size="512x512", n=2, providerOptions={"runpod": options | {"cost": None}})
    assert len({image.tobytes() for image in images}) == 2


def test_the_ai_sdks_loras_draw_what_the_model_cant(ai_sdk):
    """It forwards them to endpoints of Flux, of which Runpod has none that takes any."""
    given = {"prompt": "a yellow moon on a green background", "size": "512x512", "seed": 1}
    options = {"num_inference_steps": 14, "guidance": 3.5}
    moon = [{"path": "demo-moon", "scale": 1.0}]
    before, drawn, after = (
        ai_sdk(**given, providerOptions={"runpod": {**options, "loras": loras}})[0]
        for loras in ([], moon, [])
    )
    assert look_closely(drawn).shape == "moon"
    assert look_closely(before).shape != "moon"
    assert before.tobytes() == after.tobytes()


def test_the_ai_sdk_says_what_is_wrong(ai_sdk):
    assert "width must be between 256 and 1536 (got 2048)" in ai_sdk(size="2048x2048")


def test_the_ai_sdk_begins_with_a_picture_in_its_options(ai_sdk):
    """It leaves pictures in the prompt away for models other than Kontext."""
    picture = f"data:image/png;base64,{base64.b64encode(bluebird()).decode()}"
    options = {**FEW_STEPS["runpod"], "image": picture, "strength": 0}
    (image,) = ai_sdk(size="512x512", providerOptions={"runpod": options})
    # Cropped around the middle.
    assert (
        apart(image.resize((256, 256)), Image.open(io.BytesIO(bluebird())).crop((32, 0, 288, 256)))
        < 5
    )


@pytest.mark.parametrize(
    ("options", "size"),
    [
        ({}, (1328, 1328)),
        ({"size": "512x512"}, (512, 512)),
        ({"aspectRatio": "4:3"}, (1472, 1140)),
    ],
)
def test_the_ai_sdk_edits_a_picture_at_the_size_it_asks_for(ai_sdk_editing, options, size):
    (image,) = ai_sdk_editing(**options, providerOptions=FEW_STEPS)
    assert (image.size, image.format) == (size, "PNG")


def test_the_ai_sdks_edit_is_made_with_its_seed_and_its_options(ai_sdk_editing):
    options = {"pollIntervalMillis": 100, "maxPollAttempts": 900, "enable_safety_checker": True}
    given = {"size": "512x512", "providerOptions": {"runpod": FEW_STEPS["runpod"] | options}}
    same, again, other = (ai_sdk_editing(**given, seed=seed)[0] for seed in (5, 5, 6))
    assert same.tobytes() == again.tobytes() != other.tobytes()


def test_the_ai_sdk_says_what_an_edit_lacks(ai_sdk_editing):
    assert "image is required" in ai_sdk_editing(prompt="make it red")
    wrong = {"image": "https://example.com/x.png", "strength": 0.5}
    told = ai_sdk_editing(prompt="make it red", providerOptions={"runpod": wrong})
    assert "strength is no parameter of FLUX.1-Kontext-dev" in told


def test_runpods_javascript_client(platform, node):
    told = node("runpod_sdk.mjs", baseUrl=f"{platform.url}/v2", endpoint=DEV, input=SMALL)
    assert told["sync"]["status"] == told["status"]["status"] == "COMPLETED"
    assert told["sync"]["output"]["cost"] == 0.00131072
    assert told["queued"]["status"] == "IN_QUEUE"
    assert told["cancel"]["status"] == "CANCELLED"
    assert told["purge"]["status"] == "completed"
    assert told["health"]["jobs"]["completed"] >= 2


def test_runpods_python_client_asynchronously(platform, monkeypatch):
    monkeypatch.setattr(runpod, "api_key", "any")
    monkeypatch.setattr(runpod, "endpoint_url_base", f"{platform.url}/v2")

    async def run():
        async with aiohttp.ClientSession() as session:
            endpoint = runpod.AsyncioEndpoint(DEV, session)
            job = await endpoint.run(SMALL)
            output = await job.output(timeout=60)
            return output, await job.status()

    output, status = asyncio.run(run())
    assert (output["cost"], status) == (0.00131072, "COMPLETED")


def test_runpods_python_client_as_documented(platform, monkeypatch):
    """https://docs.runpod.io/serverless: run and status, run_sync, and a job by its id."""
    monkeypatch.setattr(runpod, "api_key", "any")
    monkeypatch.setattr(runpod, "endpoint_url_base", f"{platform.url}/v2")
    endpoint = runpod.Endpoint(DEV)
    request = endpoint.run({"prompt": "a cute dog", **{k: SMALL[k] for k in ("width", "height")}})
    assert request.status() in ("IN_QUEUE", "IN_PROGRESS")
    client = runpod.endpoint.runner.RunPodClient()
    job = runpod.endpoint.Job(endpoint_id=DEV, job_id=request.job_id, client=client)
    assert job.output(timeout=60)["image_url"]
    assert job.status() == "COMPLETED"
    assert set(endpoint.run_sync(SMALL)) == {"image_url", "cost"}


SERENE = {
    "prompt": "A serene mountain landscape at sunset",
    "width": 1024,
    "height": 1024,
    "num_inference_steps": 20,
    "guidance": 7.5,
}
FUTURISTIC = {
    "prompt": "A futuristic cityscape with flying cars",
    "width": 1024,
    "height": 1024,
    "num_inference_steps": 50,
    "guidance": 8.0,
}


def test_the_documentations_fetch(platform, node):
    url = f"{platform.url}/v2/{SCHNELL}"
    few = {**SERENE, "num_inference_steps": 4}
    told = node("documented.mjs", url=url, sync={"input": few}, queued={"input": few})
    for answer in told.values():
        assert set(answer) == {
            *("delayTime", "executionTime", "id", "output", "status", "workerId"),
        }
        assert answer["output"]["cost"] == 0.0025165824


def test_the_documentations_curl(platform):
    def curl(*arguments):
        if not shutil.which("curl"):
            pytest.skip("curl is not installed")
        key = ("-H", "Authorization: Bearer RUNPOD_API_KEY")
        done = subprocess.run(["curl", "-s", *key, *arguments], capture_output=True, check=True)
        return json.loads(done.stdout)

    url = f"{platform.url}/v2/{DEV}"
    as_json = ("-H", "Content-Type: application/json", "-d")
    answer = curl("-X", "POST", f"{url}/runsync", *as_json, json.dumps({"input": SERENE}))
    assert answer["output"]["cost"] == 0.02097152
    queued = curl("-X", "POST", f"{url}/run", *as_json, json.dumps({"input": FUTURISTIC}))
    assert queued["status"] == "IN_QUEUE"
    assert curl("-X", "GET", f"{url}/status/{queued['id']}")["id"] == queued["id"]
    assert curl("-X", "POST", f"{url}/cancel/{queued['id']}")["status"] == "CANCELLED"


def test_the_documentations_requests(platform):
    headers = {"Content-Type": "application/json", "Authorization": "Bearer RUNPOD_API_KEY"}
    data = {
        "input": {
            "prompt": SERENE["prompt"],
            "image_format": "png",
            "guidance": 7,
            "seed": 50,
            "num_inference_steps": 25,
            "width": 1024,
            "height": 1024,
        }
    }
    url = f"{platform.url}/v2/{DEV}"
    job_id = requests.post(f"{url}/run", headers=headers, json=data, timeout=60).json()["id"]
    while True:
        answer = requests.get(f"{url}/status/{job_id}", headers=headers, timeout=60).json()
        if answer["status"] == "COMPLETED":
            break
        assert answer["status"] in ("IN_QUEUE", "IN_PROGRESS")
    image = requests.get(answer["output"]["image_url"], timeout=60).content
    assert Image.open(io.BytesIO(image)).format == "PNG"


def bluebirds(image, **changed):
    """The request of https://docs.runpod.io/public-endpoints/models/flux-kontext-dev."""
    return {
        "prompt": "Exact same bluebird, same angle and posture, now perched on a cloud in outer "
        "space",
        "image": image,
        **DOCUMENTED_EDIT,
        **changed,
    }


def test_the_documented_edit_by_curl(kontext, web):
    if not shutil.which("curl"):
        pytest.skip("curl is not installed")
    body = json.dumps({"input": bluebirds(f"{web}/bluebird.png")})
    url = f"{kontext.url}/v2/{KONTEXT}/runsync"
    headers = ("-H", "Authorization: Bearer RUNPOD_API_KEY", "-H", "Content-Type: application/json")
    done = subprocess.run(
        ["curl", "-s", "-X", "POST", url, *headers, "-d", body], capture_output=True, check=True
    )
    answer = json.loads(done.stdout)
    assert set(answer) == {
        *("delayTime", "executionTime", "id", "output", "status", "workerId"),
    }
    assert set(answer["output"]) == {"cost", "image_url"}
    assert answer["output"]["cost"] == 0.025
    image = Image.open(io.BytesIO(requests.get(answer["output"]["image_url"], timeout=60).content))
    assert (image.size, image.format) == ((1024, 1024), "PNG")


def test_the_documented_edit_by_fetch_and_by_runpods_client(kontext, web, node, monkeypatch):
    few = bluebirds(f"{web}/bluebird.png", num_inference_steps=2, size="512*300")
    url = f"{kontext.url}/v2/{KONTEXT}"
    told = node("documented.mjs", url=url, sync={"input": few}, queued={"input": few})
    assert [answer["output"]["cost"] for answer in told.values()] == [0.025, 0.025]
    monkeypatch.setattr(runpod, "api_key", "any")
    monkeypatch.setattr(runpod, "endpoint_url_base", f"{kontext.url}/v2")
    output = runpod.Endpoint(KONTEXT).run_sync(few, timeout=200)
    image = Image.open(io.BytesIO(requests.get(output["image_url"], timeout=60).content))
    assert (image.size, output["cost"]) == ((512, 300), 0.025)


@pytest.mark.parametrize(
    "address", ["{web}/missing.png", "ftp://example.com/x.png", "bluebird.png"]
)
def test_a_picture_that_is_nowhere_is_refused_in_the_documented_words(kontext, web, address):
    asked = bluebirds(address.format(web=web), num_inference_steps=1)
    answer = requests.post(
        f"{kontext.url}/v2/{KONTEXT}/runsync", json={"input": asked}, timeout=120
    ).json()
    assert answer["status"] == "FAILED"
    assert "Invalid image URL" in answer["error"]
    assert "image " in answer["error"]
    assert "output" not in answer


def test_the_readmes_pictures_run(platform, tmp_path):
    (code,) = re.findall(r"```python\n(.*?)```", README[README.index("## Pictures") :], re.DOTALL)
    Image.open(io.BytesIO(bluebird())).save(tmp_path / "fox.png")
    mask = Image.new("L", (320, 256))
    mask.paste(255, (0, 0, 100, 100))
    mask.save(tmp_path / "neck.png")
    there = {**os.environ, "RUNPOD_ENDPOINT_BASE_URL": f"{platform.url}/v2"}
    program = code.replace("YOUR_ENDPOINT_ID", DEV)
    printed = subprocess.check_output(
        [sys.executable, "-c", program], env=there, text=True, cwd=tmp_path, timeout=200
    )
    for line in printed.splitlines():
        output = ast.literal_eval(line)
        assert output["cost"] == 0.0016384
        image = Image.open(io.BytesIO(requests.get(output["image_url"], timeout=60).content))
        assert image.size == (320, 256)


# What makes each example's image a small one, beside its prompt.
SMALLER = [
    ", width=256, height=256",
    ", width: 256, height: 256",
    ', "width": 256, "height": 256',
    ', size: "512x512"',
]


@pytest.mark.parametrize("number", range(len(SMALLER)))
def test_the_examples_of_moving_run(platform, javascript, number):
    page = (ROOT / "docs/moving.md").read_text()
    examples = re.findall(r"```(python|javascript)\n(.*?)```", page, re.DOTALL)
    assert len(examples) == len(SMALLER)
    language, code = examples[number]
    code = code.replace("https://api.runpod.ai/v2", f"{platform.url}/v2")
    code = code.replace("YOUR_ENDPOINT_ID", DEV).replace('sunset"', f'sunset"{SMALLER[number]}')
    if language == "python":
        there = {**os.environ, "RUNPOD_ENDPOINT_BASE_URL": f"{platform.url}/v2"}
        printed = subprocess.check_output([sys.executable, "-c", code], env=there, text=True)
    else:
        printed = javascript("--input-type=module", "--eval", code)
    assert re.match(r"http://127|image/png", printed)
