"""Who may ask the local platform: not every program on the machine, and not every web page."""

import http.client
import json
import time
from urllib.parse import urlsplit
from urllib.request import Request, urlopen

import pytest
from running_platform import DEV, serving

from local_platform.processes.surroundings import demo_environment

pytestmark = pytest.mark.real

SECRET = {"accessId": "id", "accessSecret": "secret"}
OPERATIONS = [
    ("GET", "job-take", ""),
    ("GET", "job-take-batch", ""),
    ("GET", "job-stop", ""),
    ("GET", "ping", ""),
    ("POST", "job-done", "/{job_id}"),
    ("POST", "job-stream", "/{job_id}"),
]


@pytest.fixture(scope="module")
def queue():
    with serving(0, {}) as running:
        running.endpoint.fleet.register("known")
        yield running


@pytest.fixture(scope="module")
def guarded():
    with serving(0, {}, api_key="k") as running:
        yield running


@pytest.fixture
def waiting(queue):
    """A job that waits, with its bucket's secret."""
    job_id = queue("POST", "/run", {"input": {"prompt": "x"}, "s3Config": SECRET})[1]["id"]
    yield job_id
    assert queue("POST", f"/cancel/{job_id}")[1]["status"] == "CANCELLED"


def ask(platform, method, path, headers, body=None):
    """Ask with these headers and no others."""
    connection = http.client.HTTPConnection(urlsplit(platform.url).netloc, timeout=60)
    connection.putrequest(method, path, skip_host=True, skip_accept_encoding=True)
    for name, value in [*headers, ("Content-Length", str(len(body or b"")))]:
        connection.putheader(name, value)
    connection.endheaders(body)
    response = connection.getresponse()
    text = response.read()
    connection.close()
    return response.status, response.headers, json.loads(text) if text else None


def host(platform):
    return "Host", urlsplit(platform.url).netloc


# -- workers


@pytest.mark.parametrize(("method", "operation", "rest"), OPERATIONS)
def test_nobody_takes_or_ends_a_job_but_a_worker_with_its_key(
    queue, waiting, method, operation, rest
):
    theirs = queue.endpoint.fleet.register("other")
    body = {"output": "forged"} if method == "POST" else None
    for worker in ("known", "unknown"):
        path = f"/worker/{DEV}/{operation}/{worker}{rest.format(job_id=waiting)}"
        for key in ({}, {"Authorization": ""}, {"Authorization": "local"}):
            assert queue(method, path, body, **key)[0] == 401
        assert queue(method, path, body, Authorization=theirs)[0] == 401
        assert queue(method, path, body, Authorization="é")[0] == 401
    assert queue("GET", f"/status/{waiting}")[1]["status"] == "IN_QUEUE"


def test_a_client_with_the_key_is_no_worker(guarded):
    path = f"/worker/{DEV}/job-take/known"
    guarded.endpoint.fleet.register("known")
    assert guarded("GET", path, Authorization="Bearer k")[0] == 401


def test_each_start_has_keys_of_its_own(queue, guarded):
    ours, others = (each.endpoint.fleet.register("known") for each in (queue, guarded))
    assert ours != others
    assert guarded("GET", f"/worker/{DEV}/ping/known", Authorization=ours)[0] == 401


@pytest.mark.parametrize("origin", ["https://example.com", "http://localhost:3000", "null"])
@pytest.mark.parametrize("method", ["OPTIONS", "GET"])
def test_no_page_reaches_what_workers_ask(queue, waiting, method, origin):
    key = queue.endpoint.fleet.register("known")
    headers = [host(queue), ("Origin", origin), ("Authorization", key)]
    headers.append(("Access-Control-Request-Method", "GET"))
    path = f"/worker/{DEV}/job-take/known"
    status, answered, _ = ask(queue, method, path, headers)
    assert status == 403
    assert not [name for name in answered if name.lower().startswith("access-control")]


WORKER = """
import os
import time
from urllib.request import Request, urlopen

url = os.environ["RUNPOD_WEBHOOK_PING"].replace("$RUNPOD_POD_ID", os.environ["RUNPOD_POD_ID"])
urlopen(Request(url, headers={"Authorization": os.environ["RUNPOD_AI_API_KEY"]})).close()
print(os.environ["RUNPOD_POD_ID"], os.environ["RUNPOD_AI_API_KEY"], flush=True)
time.sleep(600)
"""


def test_a_workers_key_ends_with_it(tmp_path):
    program, log = tmp_path / "worker.py", tmp_path / "log"
    program.write_text(WORKER)
    with serving(1, demo_environment({}), log_file=log, program=program) as platform:
        while not log.exists() or not log.read_text().endswith("\n"):
            time.sleep(0.01)
        worker, key = log.read_text().split()
        ping = f"/worker/{DEV}/ping/{worker}"
        assert platform("GET", ping, Authorization=key)[0] == 200
        platform.kill_worker(worker)
        assert platform("GET", ping, Authorization=key)[0] == 401


def test_the_key_that_runpod_config_wrote_is_the_workers(tmp_path, monkeypatch):
    """The SDK sends that one wherever it finds it."""
    monkeypatch.setenv("HOME", str(tmp_path))
    written = tmp_path / ".runpod" / "config.toml"
    written.parent.mkdir()
    written.write_text('[default]\napi_key = "developers"\n')
    with serving(0, {}) as platform:
        platform.endpoint.fleet.register("known")
        ping = f"/worker/{DEV}/ping"
        assert platform("GET", f"{ping}/known", Authorization="developers")[0] == 200
        assert platform("GET", f"{ping}/unknown", Authorization="developers")[0] == 401
    written.write_text('[default]\napi_key = ""\n')
    with serving(0, {}) as platform:
        platform.endpoint.fleet.register("known")
        assert platform("GET", f"{ping}/known", Authorization="")[0] == 401


# -- web pages


@pytest.mark.parametrize(
    ("name", "status"),
    [
        ("127.0.0.1", 200),
        ("127.0.0.1:1234", 200),
        ("localhost", 200),
        ("LOCALHOST:8000", 200),
        ("flux.localhost:8000", 200),
        ("[::1]:8000", 200),
        ("example.com", 403),
        ("example.com:8000", 403),
        ("127.0.0.1.example.com", 403),
        ("localhost.example.com", 403),
        ("notlocalhost", 403),
        ("example.com#localhost", 403),
        ("user@127.0.0.1", 403),
        ("192.168.0.1:8000", 403),
        ("0.0.0.0:8000", 403),
        ("١27.0.0.1".encode(), 403),
        ("", 403),
    ],
)
@pytest.mark.parametrize("path", ["/", "/health", f"/v2/{DEV}/health"])
def test_a_name_that_was_made_to_lead_here_leads_nowhere(queue, name, status, path):
    connection = http.client.HTTPConnection(urlsplit(queue.url).netloc, timeout=60)
    connection.request("GET", path, headers={"Host": name})
    assert connection.getresponse().status == status
    connection.close()


@pytest.mark.parametrize("names", [[], ["127.0.0.1", "example.com"], ["example.com", "127.0.0.1"]])
def test_a_request_names_one_host(queue, names):
    assert ask(queue, "GET", "/health", [("Host", name) for name in names])[0] in (400, 403)


@pytest.mark.parametrize(
    "origin",
    ["http://localhost:3000", "https://localhost", "http://127.0.0.1:5173", "http://app.localhost"],
)
def test_a_page_of_this_machine_may_ask(queue, origin):
    headers = {"Origin": origin, "Access-Control-Request-Method": "POST"}
    asking = {**headers, "Access-Control-Request-Headers": "authorization, content-type"}
    with urlopen(Request(f"{queue.url}/run", method="OPTIONS", headers=asking)) as response:
        assert response.headers["Access-Control-Allow-Origin"] == origin
        assert "authorization" in response.headers["Access-Control-Allow-Headers"].lower()
    with urlopen(Request(f"{queue.url}/health", headers=headers)) as response:
        assert response.headers["Access-Control-Allow-Origin"] == origin


@pytest.mark.parametrize(
    "origin",
    [
        *("https://example.com", "http://localhost.example.com", "null", "", "file://"),
        *("http://127.0.0.1.example.com", "http://localhost@example.com", "http://192.168.0.1"),
    ],
)
@pytest.mark.parametrize("content_type", ["application/json", "text/plain"])
def test_a_page_from_elsewhere_queues_nothing_and_reads_nothing(queue, origin, content_type):
    """Without a question beforehand, too: browsers send plain text at once."""
    body = b'{"input": {"prompt": "x"}}'
    headers = [host(queue), ("Origin", origin), ("Content-Type", content_type)]
    before = queue("GET", "/health")
    asked = [("Access-Control-Request-Method", "POST")]
    for method, path, more in (
        ("POST", "/run", []),
        ("POST", "/purge-queue", []),
        ("OPTIONS", "/run", asked),
        ("GET", "/health", []),
        ("GET", "/", []),
    ):
        status, answered, _ = ask(queue, method, path, headers + more, body)
        assert status == 403
        assert "Access-Control-Allow-Origin" not in answered
    assert queue("GET", "/health") == before


# -- clients


def test_an_api_key_is_asked_for_where_one_is_set(guarded):
    assert guarded("GET", "/health")[0] == 401
    assert guarded("GET", "/health", Authorization="Bearer wrong")[0] == 401
    assert guarded("GET", "/health", Authorization="Bearer é")[0] == 401
    assert guarded("GET", "/health", Authorization="Bearer k")[0] == 200


def test_a_page_of_this_machine_reads_why_its_key_is_refused(guarded):
    headers = [host(guarded), ("Origin", "http://localhost:3000")]
    status, answered, report = ask(guarded, "GET", "/health", headers)
    assert (status, report) == (401, {"error": "The API key is wrong."})
    assert answered["Access-Control-Allow-Origin"] == "http://localhost:3000"
