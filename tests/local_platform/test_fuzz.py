"""Garbage sent to the platform is answered in words, and breaks nothing."""

import http.client
import json
import threading
from urllib.parse import quote, urlsplit

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from running_platform import DEV, serving

pytestmark = pytest.mark.real

KEYS = ["input", "policy", "webhook", "s3Config", "prompt", "executionTimeout", "ttl", "width"]
VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=20)
    | st.sampled_from(["\ud800", 10**400]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(KEYS) | st.text(max_size=8), inner, max_size=4)
    ),
    max_leaves=8,
)
WITH_INPUT = st.fixed_dictionaries({"input": VALUES}, optional=dict.fromkeys(KEYS[1:4], VALUES))
JSON = (WITH_INPUT | WITH_INPUT | VALUES).map(lambda value: json.dumps(value).encode())
DEEP = b'{"input":' + b"[" * 500 + b"]" * 500 + b"}"
STRANGE = st.sampled_from([b"1e999", b'{"input":-Infinity}', b"[" * 100_000, DEEP]) | st.binary()
BODIES = JSON | JSON | JSON | STRANGE
LAST_JOB = "the-last-job"
WORDS = st.text(max_size=12).map(lambda text: quote(text, safe=""))
IDS = st.just(LAST_JOB) | WORDS
WAITS = ["?wait=20", "?wait=1", "?wait=x", "?wait=1000", "?wait=1e9", "?wait="]
QUERIES = st.sampled_from(["", *WAITS, "?batch_size=0", "?gpu=1&x"])
FRONTS = st.sampled_from(["", f"/v2/{DEV}", "/v2/flux", "/v2"])


def ask(methods, front, operation, *words):
    """Requests of one operation: the methods separated by blanks, and what the path is made of."""
    path = st.tuples(front, st.just(operation), *words, QUERIES).map(
        lambda parts: "/".join(parts[:-1]) + parts[-1]
    )
    return st.tuples(st.sampled_from(methods.split()), path)


WORKERS = st.just(f"/worker/{DEV}")
WORKER_IDS = st.just("w2") | WORDS
PAGES = st.sampled_from([None] * 8 + ["http://localhost:3000", "https://example.com", "null", ""])
REQUESTS = st.one_of(
    *(ask("POST", FRONTS, operation) for operation in ("run", "run", "runsync", "purge-queue")),
    *(ask("GET POST", FRONTS, name, IDS) for name in ("status", "status-sync", "stream")),
    *(ask("POST", FRONTS, operation, IDS) for operation in ("cancel", "retry")),
    *(ask("POST", WORKERS, name, WORKER_IDS, IDS) for name in ("job-done", "job-stream")),
    *(ask("GET", WORKERS, name, WORKER_IDS) for name in ("job-take", "job-take-batch", "job-stop")),
    ask("GET PUT DELETE HEAD OPTIONS", FRONTS, "health"),
    ask("GET POST PUT DELETE HEAD OPTIONS", WORDS, "", WORDS, WORDS),
)
TYPES = st.sampled_from(["application/json", "text/plain", "application/x-www-form-urlencoded"])


@pytest.fixture(scope="module")
def platform():
    """A platform that never makes anybody wait, with a worker that answers whatever it gets."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("local_platform.api.worker_routes.POLL", 0.001)
        patch.setattr("local_platform.api.client_routes.STREAM_WAIT", 0.001)
        patch.setattr("local_platform.api.client_routes.DEFAULT_WAIT_MS", 50)
        patch.setattr("local_platform.api.client_routes.MIN_WAIT_MS", 10)
        patch.setattr("local_platform.api.client_routes.MAX_WAIT_MS", 50)
        patch.setattr("local_platform.queue.endpoint.WEBHOOK_PAUSE", 0.0)
        with serving(0, {}) as running:
            ended = threading.Event()
            answering = threading.Thread(target=answer, args=(running, ended))
            answering.start()
            yield running
            ended.set()
            answering.join()


def answer(running, ended):
    while not ended.is_set():
        status, job = running.as_worker("w1", "GET", "job-take", "?gpu=x")
        if status == 200:
            running.as_worker("w1", "POST", "job-done", f"/{job['id']}", {"output": job["input"]})
        else:
            ended.wait(0.01)


@pytest.mark.parametrize("count", [500, pytest.param(5000, marks=pytest.mark.soak)])
def test_no_request_is_too_strange_to_be_answered(platform, count):
    connection = http.client.HTTPConnection(urlsplit(platform.url).netloc, timeout=30)
    asked, jobs = [], ["nobody"]
    key = platform.endpoint.fleet.register("w2")

    @settings(
        max_examples=count,
        database=None,
        derandomize=True,
        suppress_health_check=list(HealthCheck),
    )
    @given(REQUESTS, BODIES, TYPES, PAGES)
    def send(request, body, content_type, page):
        method, path = request[0], "/" + request[1].replace(LAST_JOB, jobs[-1]).lstrip("/")
        headers = {"Content-Type": content_type, "Authorization": key}
        connection.request(method, path, body, headers | ({} if page is None else {"Origin": page}))
        response = connection.getresponse()
        text = response.read()
        asked.append(response.status)
        assert response.status < 500, (method, path, body)
        if text and response.headers["Content-Type"] == "application/json":
            report = json.loads(text)
            if isinstance(report, dict) and "id" in report:
                jobs.append(report["id"])

    send()
    assert len(asked) >= count
    assert len(jobs) > count / 20
    assert {200, 400, 401, 403, 404} <= set(asked)
    assert platform("GET", "/health")[0] == 200
