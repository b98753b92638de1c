"""`verify` passes where the contract is kept, and names what is broken elsewhere."""

import base64
import io

import pytest
from flux_endpoint import flux_endpoint
from PIL import Image
from running_platform import DEV, SCHNELL, serving_both, serving_kontext
from running_platform import KONTEXT as KONTEXTS_ID

from builder.deploy import __main__
from builder.deploy.verify import pictures, requests
from builder.deploy.verify.report import Differs
from flux_worker.contract.catalog import KONTEXT, MODELS
from flux_worker.contract.request import ImageRequest
from flux_worker.errors import InvalidRequest

JOBS = ("--wait", "20")
BREAK_MORE = ("answers data URLs", "answers half a host", "answers a path", "draws at random")
"""Faults of which more than one part suffers."""


@pytest.fixture
def verify(capsys, monkeypatch):
    """Verify a URL; return the exit status or its sentence, the differing lines, and all output."""
    monkeypatch.setenv("RUNPOD_API_KEY", "rpa_key")

    def run(url, *arguments):
        with pytest.raises(SystemExit) as ended:
            __main__.main(["verify", url, *JOBS, *arguments])
        said = "".join(capsys.readouterr())
        differing = [line for line in said.splitlines() if line.startswith("differs: ")]
        return ended.value.code, differing, said

    return run


def test_an_endpoint_that_keeps_the_contract_passes(verify):
    with flux_endpoint() as endpoint:
        code, differing, said = verify(f"{endpoint.url}/v2/abc")
    assert (code, differing) == (0, [])
    assert "All as documented." in said
    lines = [line for line in said.splitlines() if line.startswith("ok: ")]
    for part in ("cost: $0.02097152", "cost: $0.01596", "size: 1140×700", "another seed",
                 "a negative prompt", "another guidance", "cancelling", "health"):  # fmt: skip
        assert any(part in line for line in lines), part


def test_the_key_goes_to_the_endpoint_and_not_to_the_pictures(verify):
    with flux_endpoint() as endpoint:
        verify(f"{endpoint.url}/v2/abc")
    keys = {(path.split("/")[1], key) for path, key in endpoint.asked}
    assert keys == {("v2", "Bearer rpa_key"), ("files", None)}


@pytest.mark.parametrize(
    ("fault", "line"),
    [
        ("health", "health: expected JSON at /health, got HTTP 502 with something else"),
        ("charges too much", "cost: expected 0.02097152 for 1024×1024, got 0.02197152"),
        ("charges the world", "cost: expected 0.02097152 for 1024×1024, got 1000"),
        ("answers half a host", "expected an http(s) or data: URL, got 'http://[::1/image.png"),
        ("tells cost as text", "cost: expected the number 0.02097152, got str"),
        ("rounds sizes", "an odd size: size: expected 1140×700, got 1132×700"),
        ("takes errors for success", "an invalid request: expected status FAILED, got COMPLETED"),
        ("bills a failed job", "an invalid request: expected no cost of a failed job, got a cost"),
        ("uses other words", "expected 'Invalid parameter: width must be between 256 and 1536"),
        ("answers errors as objects", "an invalid request: expected 'Invalid parameter: "),
        ("signs for a minute", "expiry: expected 604800 s, got 60 s"),
        ("has no envelope", "expected status COMPLETED, got the keys image_url, cost"),
        ("has no id", "expected an id, got None"),
        ("tells times as text", "expected milliseconds as executionTime, got '345'"),
        (
            "answers more",
            "expected exactly cost and image_url in output, got cost, image_url, seed",
        ),
        ("answers errors in output", "expected exactly cost and image_url in output, got error"),
        ("fails", "expected status COMPLETED, got FAILED: The GPU ran out of memory"),
        ("draws at random", "the same seed: expected the same picture twice, got pictures"),
        ("ignores seed", "another seed: expected another picture, got the same one"),
        ("ignores negative prompt", "a negative prompt: expected another picture, got the same"),
        ("ignores guidance", "another guidance: expected another picture, got the same one"),
        ("ignores cancelling", "cancelling: expected status CANCELLED, got IN_QUEUE"),
        ("makes JPEG alone", "png: format: expected png, got jpeg"),
        ("calls pictures binary", "format: expected content type image/jpeg, got application/oc"),
        ("wants a login", "picture without a key: expected the picture, got a redirect to 127.0."),
        ("denies pictures", "picture without a key: expected the picture, got HTTP 403 from 127"),
        ("answers pages", "expected a picture, got 6 bytes of text/html that are none"),
        ("answers data URLs", "expiry: expected an address in a bucket, got a data: URL"),
        ("answers a path", "expected an http(s) or data: URL, got '/tmp/image.png'"),
        ("answers public URLs", "expiry: expected a URL signed for 604800 s, got one without"),
        ("refuses the key", "refuses the API key: set RUNPOD_API_KEY"),
    ],
)
def test_what_is_broken_is_named(verify, fault, line):
    with flux_endpoint(fault) as endpoint:
        code, differing, said = verify(f"{endpoint.url}/v2/abc")
    assert code == 1
    assert any(line in each for each in differing), said
    parts = {each.split(": expected")[0].rpartition(": ")[2] for each in differing}
    assert len(parts) == 1 or fault in BREAK_MORE, differing


@pytest.mark.parametrize(
    ("fault", "line"),
    [
        ("hangs", "doesn't answer within 1 seconds"),
        ("stays in the queue", "expected the job within 1 s (--wait), got IN_QUEUE"),
    ],
)
def test_an_endpoint_that_brings_nothing_is_waited_for_once(verify, fault, line):
    with flux_endpoint(fault) as endpoint:
        code, differing, said = verify(f"{endpoint.url}/v2/abc", "--wait", "1")
        endpoint.over.set()
    assert code == 1
    assert len(differing) == 1
    assert line in differing[0]
    assert "skipped: everything else" in said


def test_a_platform_that_restarts_while_a_job_waits_is_asked_again(verify, monkeypatch):
    monkeypatch.setattr("builder.deploy.verify.endpoint.PAUSE", 0.01)
    with flux_endpoint("queues at first") as endpoint:
        endpoint.restarts = 3
        code, differing, said = verify(f"{endpoint.url}/v2/abc")
    assert (code, differing) == (0, [])
    assert "waiting: expected JSON at /status/job-0, got HTTP 502" in said


def test_a_status_that_is_never_to_be_had_is_said(verify, monkeypatch):
    monkeypatch.setattr("builder.deploy.verify.endpoint.PAUSE", 0.01)
    with flux_endpoint("queues at first") as endpoint:
        endpoint.restarts = 99
        code, differing, _ = verify(f"{endpoint.url}/v2/abc")
    assert code == 1
    assert len(differing) == 1


@pytest.mark.parametrize("format_name", ["PNG", "JPEG"])
def test_a_picture_that_is_not_whole_is_none(format_name):
    file = io.BytesIO()
    Image.effect_noise((400, 400), 50).convert("RGB").save(file, format_name)
    whole = file.getvalue()
    broken = [whole[: len(whole) // 2], whole[:50], b"", b"%!PS-Adobe-3.0 EPSF-3.0"]
    if format_name == "PNG":
        broken.append(b"\x12\xc9\xfd\xfb".join(whole.rsplit(b"IDAT", 1)))
    for data in broken:
        url = f"data:image/x;base64,{base64.b64encode(data).decode()}"
        with pytest.raises(Differs, match="that are none"):
            pictures.fetch(url)


@pytest.mark.parametrize(
    ("fault", "arguments"),
    [
        ("signs for a minute", ("--url-ttl", "60")),
        ("answers public URLs", ("--images", "public")),
    ],
)
def test_an_operators_own_settings_are_told_by_flags(verify, fault, arguments):
    with flux_endpoint(fault) as endpoint:
        assert verify(f"{endpoint.url}/v2/abc", *arguments)[0] == 0


def test_an_own_price_is_told_by_a_flag(verify):
    with flux_endpoint() as endpoint:
        _, differing, _ = verify(f"{endpoint.url}/v2/abc", "--price", "0.03")
    assert all("cost: expected" in line for line in differing)
    assert len(differing) == 3


def test_it_asks_where_it_would_cost_more_than_a_limit(verify):
    with flux_endpoint() as endpoint:
        code, _, said = verify(f"{endpoint.url}/v2/abc", "--limit", "0.01")
        assert "add --yes" in code
        assert "adds up to $0.06314592" in said
        assert not endpoint.asked


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("ftp://x/abc",), "is no endpoint's URL"),
        (("http://127.0.0.1:9/v2/abc", "--price", "cheap"), "is a number of US dollars"),
        (("http://127.0.0.1:9/v2/abc", "--limit", "nan"), "must be 0 or more"),
        (("http://127.0.0.1:9/v2/abc", "--wait", "0"), "must be more than 0"),
        (("http://127.0.0.1:9/v2/abc", "--url-ttl", "0"), "must be more than 0"),
        (("http://127.0.0.1:9/v2/abc", "--steps", "51"), "--steps of FLUX.1-dev is 1 to 50."),
        (("http://127.0.0.1:9/v2/abc", "--model", "schnell", "--steps", "9"), "is 1 to 8."),
    ],
)
def test_what_cannot_be_verified_is_said_at_once(verify, arguments, sentence):
    code, _, said = verify(*arguments)
    assert sentence in f"{code}{said}"


def test_an_id_at_runpod_needs_a_key(verify, monkeypatch):
    monkeypatch.delenv("RUNPOD_API_KEY")
    assert "Set RUNPOD_API_KEY" in verify("abc123")[0]


def test_nothing_that_listens_is_said(verify):
    code, differing, _ = verify("http://127.0.0.1:9/v2/abc")
    assert code == 1
    assert all("can't be reached" in line for line in differing)


@pytest.mark.parametrize("model", MODELS.values(), ids=lambda model: model.name)
def test_the_requests_are_ones_that_the_worker_takes(model):
    asked = [requests.documented(model, None), requests.odd(model, None), requests.long_one(model)]
    varied = [requests.plain(model, None), *requests.variations(model, None).values()]
    for job_input in [*asked, *varied]:
        _, unread = ImageRequest.parse(job_input, model)
        assert set(unread) <= {"enable_safety_checker"}
    with pytest.raises(InvalidRequest, match=r"^Invalid parameter: width must be between [^;]*$"):
        ImageRequest.parse(requests.invalid(model), model)


def test_an_endpoint_of_kontext_is_sent_a_picture_and_charges_by_the_image(verify):
    with flux_endpoint(model=KONTEXT) as endpoint:
        code, differing, said = verify(f"{endpoint.url}/v2/{KONTEXT.endpoint_id}")
    assert (code, differing) == (0, [])
    for line in (
        "the documented request: cost: $0.025\n",
        "the documented request: size: 1024×1024\n",
        "the documented request: format: image/png\n",
        "an odd size: cost: $0.025\n",
        "an invalid request: Invalid parameter: width must be between 256 and 1536 (got 2000)\n",
    ):
        assert f"ok: {line}" in said
    assert "adds up to $0.175" in said


def test_an_endpoint_that_charges_kontext_by_the_megapixel_is_found_out(verify):
    with flux_endpoint("charges too much", model=KONTEXT) as endpoint:
        code, differing, _ = verify(f"{endpoint.url}/v2/abc", "--model", "kontext")
    assert code == 1
    assert "cost: expected 0.025 for 1024×1024, got 0.026" in differing[0]


@pytest.fixture(scope="module")
def platform(s3, tmp_path_factory):
    with serving_both(s3, tmp_path_factory.mktemp("verify") / "worker.log") as running:
        yield running


@pytest.mark.real
@pytest.mark.parametrize("name", [DEV, SCHNELL])
def test_the_worker_itself_passes(verify, platform, name):
    url = f"{platform.url}/v2/{name}"
    code, differing, said = verify(url, "--steps", "2", "--wait", "200")
    assert (code, differing) == (0, []), said


@pytest.mark.real
def test_the_worker_that_edits_passes(verify, s3, tmp_path):
    with serving_kontext(s3, tmp_path) as platform:
        url = f"{platform.url}/v2/{KONTEXTS_ID}"
        code, differing, said = verify(url, "--steps", "2", "--wait", "200")
    assert (code, differing) == (0, []), said
