"""The code to copy, run as it is: what arrives at the endpoint, and what it says of the answer."""

import ast
import base64
import io
import json
import random
import shutil
import subprocess
import sys
from dataclasses import replace
from urllib.parse import unquote
from urllib.request import urlopen

import loopback
import nodejs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from running_platform import serving_both

from flux_worker.contract.catalog import DEV, KONTEXT, KREA_DEV, SCHNELL
from flux_worker.contract.request import ImageRequest
from flux_worker.delivery.images import read_parameters
from flux_worker.delivery.metadata import EMBEDDED
from playground.places import RUNPOD
from playground.snippets import literals
from playground.snippets.call import Call, File
from playground.snippets.languages import SNIPPETS, write

pytestmark = pytest.mark.real

CURL_SYNC = ("cURL", "runsync")
"""The documented command, which leaves it to the reader what to do with the answer."""
PROGRAMS = {"python": "python", "javascript": "node", "shell": "sh"}
EACH = [(title, PROGRAMS[each.syntax]) for title, each in SNIPPETS.items()]
WAYS = pytest.mark.parametrize(("language", "program"), EACH)
IN_EVERY_SHELL = pytest.mark.parametrize(("language", "program"), [*EACH, ("cURL", "bash")])
OPERATIONS = pytest.mark.parametrize("operation", ["run", "runsync"])

PLAIN = {"prompt": "A serene mountain landscape at sunset"}
EVERYTHING = {
    "prompt": "a red circle",
    "negative_prompt": "blue",
    "true_cfg_scale": 3.5,
    "width": 301,
    "height": 384,
    "num_inference_steps": 3,
    "guidance": 4.25,
    "seed": 2**63 - 1,
    "image_format": "png",
    "preview": True,
}
READABLE = [
    "🦊 👩‍🚀 👍🏽",
    "e\u0301 ñ",
    "山水画　夕焼け",
    "می‌خواهم",
    "שלום",
    "it's",
    "https://a.b/c?d=e&f",
    "</b>",
]
NASTY = [
    *("'", '"', "'''", '"""', "`", "''\\''", "\\", "\\n", "\\u0041", "$HOME ${x} $(id) `id` !!"),
    *(
        "%s %% %{x}",
        "«url» «input»",
        "</script><!--",
        "<SCRIPT",
        "\n",
        "\r\n",
        "\t",
        "\u2028\u2029",
    ),
    *("\u200f\u202e\u2066", "\ufeff\u200b", "\xa0", "\x01\x1b[31m\x7f\x9f", "\U000e0041", "\ue000"),
    *("{a}{{b}}", "*/ //", "# --", "@file", "-d", "$'x'", "EOF\n", "\\\n", "\uffff", *READABLE),
]
LORAS = [
    {"path": "https://host/" + "".join(map(chr, range(33, 127))), "scale": -0.5},
    {"path": " ".join(NASTY).translate({ord("\\"): None, ord("/"): None}), "scale": 1.0},
    {"path": "owner/name@main/it is 🦊's.safetensors", "scale": 0.0},
]
HARMFUL = {
    **EVERYTHING,
    "prompt": " ".join(NASTY),
    "negative_prompt": "\\".join(reversed(NASTY)),
    "loras": LORAS,
}
SENTENCE = "Invalid parameter: width must be between 256 and 1536 (got 2000)"


class Endpoints:
    """Answers like Runpod, with the reports that it is told to, and keeps what was asked."""

    def __init__(self):
        self.inputs, self.paths, self.keys, self.url = [], [], set(), ""
        self.reports = []
        """Of the job, one an answer; the last is repeated."""

    def completed(self):
        output = {"cost": 0.02, "image_url": f"{self.url}/image.png?a=1&b=2"}
        return {"delayTime": 1, "id": "j-u1", "output": output, "status": "COMPLETED"}

    def handle(self, request):
        if request.path.startswith("/image.png"):
            return request.answer(200, b"\x89PNG\r\n\x1a\n")
        self.keys.add(request.headers["Authorization"])
        address, _, last = request.path.rpartition("/")
        if request.command == "POST":
            self.paths.append(address)
            self.inputs.append(json.loads(request.body()))
        if last == "run":
            report = {"id": "j-u1", "status": "IN_QUEUE"}
        else:
            report = self.reports.pop(0) if len(self.reports) > 1 else self.reports[0]
        # As Go's encoder writes it, which is JSON like any other.
        text = json.dumps(report, separators=(",", ":")).replace("&", r"\u0026")
        return request.answer(200, text.encode(), {"Content-Type": "application/json"})


@pytest.fixture
def endpoints():
    served = Endpoints()
    with loopback.serving(served.handle) as served.url:
        served.reports = [served.completed()]
        yield served


@pytest.fixture(scope="session", autouse=True)
def _clients(javascript):
    """Installed."""


def start(program, code, folder=nodejs.CLIENTS):
    """Run the code, unmodified."""
    if program == "node":
        return nodejs.run("--input-type=module", "--eval", code, folder=folder)
    if program in ("sh", "bash") and not shutil.which("curl"):
        pytest.skip("curl is not installed")
    command = sys.executable if program == "python" else program
    return subprocess.run(
        [command, "-c", code], capture_output=True, text=True, timeout=120, cwd=folder
    )


def image_url(done, call_kind):
    """What the program tells of the image."""
    assert done.returncode == 0, done.stderr
    if call_kind == CURL_SYNC:
        return json.loads(done.stdout)["output"]["image_url"]
    return done.stdout.removesuffix("\n")


def same_request(sent, meant, model):
    """Whether the worker makes the same image of both, for the same money; -1 draws a seed."""
    fixed = [{**each, "seed": each.get("seed", -1)} for each in (sent, meant)]
    assert fixed[0]["seed"] == fixed[1]["seed"]
    one, other = (ImageRequest.parse(each, model)[0] for each in fixed)
    return one.model_dump(exclude={"seed"}) == other.model_dump(exclude={"seed"})


@IN_EVERY_SHELL
@OPERATIONS
def test_exactly_the_parameters_arrive(endpoints, language, program, operation):
    call = Call(f"{endpoints.url}/v2", "abc123", DEV, HARMFUL, operation)
    done = start(program, write(language, call))
    assert image_url(done, (language, operation)) == f"{endpoints.url}/image.png?a=1&b=2"
    (body,) = endpoints.inputs
    assert endpoints.keys == {"Bearer YOUR_API_KEY"}
    if language == "JavaScript, AI SDK":
        assert HARMFUL.items() <= body["input"].items()
        assert same_request(body["input"], HARMFUL, DEV)
    else:
        assert body == {"input": HARMFUL}


FILES = {"image": File("picture.jpg", "image/jpeg"), "mask_image": File("mask.png", "image/png")}


@IN_EVERY_SHELL
@OPERATIONS
@pytest.mark.parametrize("model", [DEV, KONTEXT], ids=lambda model: model.name)
def test_pictures_are_read_from_their_files(
    endpoints, language, program, operation, model, tmp_path
):
    contents = {name: random.Random(name).randbytes(1_000_001) for name in FILES}
    files = FILES if model is DEV else {"image": FILES["image"]}
    for name, file in files.items():
        (tmp_path / file.name).write_bytes(contents[name])
    (tmp_path / "node_modules").symlink_to(nodejs.CLIENTS / "node_modules")
    asked = dict(HARMFUL)
    sides = (asked.pop("width"), asked.pop("height"))
    call = Call(f"{endpoints.url}/v2", "abc123", model, asked, operation, files, sides)
    code = write(language, call)
    assert len(code) < 6_000
    image_url(start(program, code, tmp_path), (language, operation))
    sent = endpoints.inputs[0]["input"]
    for name, file in files.items():
        kind, _, data = sent.pop(name).partition(",")
        assert kind == f"data:{file.content_type};base64"
        assert base64.b64decode(data, validate=True) == contents[name]
    if language == "JavaScript, AI SDK":
        assert asked.items() <= sent.items()
        assert (sent["width"], sent["height"]) == sides, "else its own size would decide"
    else:
        assert sent == asked


@WAYS
@OPERATIONS
def test_a_job_that_takes_longer_is_waited_for(endpoints, language, program, operation):
    progress = {"step": 1, "steps": 28, "percent": 4, "eta_seconds": 1.0}
    underway = {"id": "j-u1", "status": "IN_PROGRESS", "output": progress}
    endpoints.reports = [underway, endpoints.completed()]
    call = Call(f"{endpoints.url}/v2", "abc123", DEV, PLAIN, operation)
    done = start(program, write(language, call))
    if (language, operation) == CURL_SYNC:
        assert json.loads(done.stdout) == underway
        assert f"{call.url}/status/" in write(language, call)
    else:
        assert image_url(done, (language, operation)) == f"{endpoints.url}/image.png?a=1&b=2"
    assert len(endpoints.inputs) == 1
    assert same_request(endpoints.inputs[0]["input"], PLAIN, DEV)


@WAYS
@pytest.mark.parametrize(
    ("operation", "report"),
    [
        ("run", {"status": "FAILED", "error": SENTENCE}),
        ("runsync", {"status": "FAILED", "error": SENTENCE}),
        ("run", {"status": "TIMED_OUT"}),
    ],
    ids=lambda value: value if isinstance(value, str) else value["status"],
)
def test_a_job_that_fails_ends_with_its_error(endpoints, language, program, operation, report):
    endpoints.reports = [{"id": "j-u1", **report}]
    call = Call(f"{endpoints.url}/v2", "abc123", DEV, PLAIN, operation)
    done = start(program, write(language, call))
    if (language, operation) == CURL_SYNC:
        assert json.loads(done.stdout) == endpoints.reports[0]
    else:
        assert done.returncode != 0
        assert not done.stdout
        assert report.get("error", report["status"]) in done.stderr


@IN_EVERY_SHELL
def test_no_address_breaks_out_of_the_code(endpoints, language, program):
    typed = "a b'\"`$(id)\\{x}</script>\n\u202e é/?#%"
    below = "/v'\"$(id)`\\{}\n"
    call = Call(endpoints.url + below, typed, DEV, PLAIN, "runsync")
    image_url(start(program, write(language, call)), (language, "runsync"))
    (path,) = endpoints.paths
    assert [unquote(part) for part in path.rsplit("/", 1)] == [below, typed]


@pytest.mark.parametrize("parameters", [PLAIN, EVERYTHING], ids=["plain", "everything"])
@pytest.mark.parametrize(
    "model",
    [SCHNELL, KREA_DEV, replace(DEV, repository="someone/Pictures-2")],
    ids=lambda model: model.repository,
)
def test_the_ai_sdks_own_defaults_decide_nothing(endpoints, model, parameters):
    call = Call(f"{endpoints.url}/v2", "abc123", model, parameters, "runsync")
    image_url(start("node", write("JavaScript, AI SDK", call)), (None, "runsync"))
    assert same_request(endpoints.inputs[0]["input"], parameters, model)


@pytest.mark.parametrize("model", [DEV, SCHNELL], ids=lambda model: model.name)
def test_addresses_that_clients_know_are_left_to_them(model):
    public = Call(RUNPOD, model.endpoint_id, model, PLAIN, "run")
    own, elsewhere = replace(public, endpoint_id="abc"), replace(public, base_url="http://x/v2")
    for language, name, expected in (
        ("Python, runpod SDK", "endpoint_url_base", (False, False, True)),
        ("JavaScript, AI SDK", "baseURL", (False, True, True)),
    ):
        written = (write(language, call) for call in (public, own, elsewhere))
        assert tuple(name in code for code in written) == expected


@pytest.fixture(scope="module")
def platform(s3, tmp_path_factory):
    with serving_both(s3, tmp_path_factory.mktemp("snippets") / "worker.log") as running:
        yield running


@WAYS
@pytest.mark.parametrize(
    ("model", "operation"), [(DEV, "run"), (SCHNELL, "runsync")], ids=["dev", "schnell"]
)
def test_the_file_has_the_parameters(platform, language, program, model, operation):
    asked = {**EVERYTHING, "prompt": f"a red circle {''.join(READABLE)}"}
    call = Call(f"{platform.url}/v2", model.endpoint_id, model, asked, operation)
    done = start(program, write(language, call))
    with urlopen(image_url(done, (language, operation))) as answer:
        file = answer.read()
    picture = {name: value for name, value in asked.items() if name in EMBEDDED}
    assert picture.items() <= read_parameters(file).items()
    assert Image.open(io.BytesIO(file)).format == "PNG"


TEXTS = st.text(st.characters(exclude_categories=("Cs",)))


@given(TEXTS)
@settings(max_examples=500)
def test_literals_of_python_and_json_are_exact(text):
    assert ast.literal_eval(literals.in_python(text)) == text
    assert json.loads(literals.in_json(text)) == text


@given(st.lists(TEXTS, min_size=50))
@settings(max_examples=3)
def test_literals_of_javascript_and_shells_are_exact(drawn):
    texts = [*NASTY, *drawn]
    values = ",".join(map(literals.in_javascript, texts))
    assert json.loads(nodejs.run("--eval", f"console.log(JSON.stringify([{values}]))").stdout) == (
        texts
    )
    words = " ".join(literals.in_shell(literals.in_json(text)) for text in texts)
    for shell in ("sh", "bash"):
        printed = subprocess.check_output([shell, "-c", f"printf '%s\\n' {words}"], text=True)
        assert [json.loads(line) for line in printed.splitlines()] == texts


@pytest.mark.parametrize("text", READABLE)
def test_what_can_be_read_stays_readable(text):
    for write_literal in (literals.in_python, literals.in_javascript, literals.in_json):
        assert write_literal(text) == f'"{text}"'
        inside = write_literal([{"path": text, "scale": 1.0}])
        assert inside == f'[{{"path": "{text}", "scale": 1.0}}]'


@pytest.mark.parametrize(
    "hidden", [*"\x00\t\n\r\x1b\x7f\x9f\xa0\xad\u200b\u200f\u2028\u202e\ue000\ufeff\U000e0041"]
)
def test_what_cannot_be_seen_is_escaped(hidden):
    for write_literal in (literals.in_python, literals.in_javascript, literals.in_json):
        assert write_literal(f"a{hidden}b").isascii()
        assert write_literal(f"a{hidden}b").isprintable()


def test_a_script_element_is_never_ended():
    assert "</script" not in literals.in_javascript("</script> </Script>").lower()
    assert "<!--" not in literals.in_javascript("<!-- <script>")
