"""What a body may hold, so that reading it keeps nobody waiting and it can be handed on."""

import json

import pytest
from running_platform import serving

from local_platform.queue import bodies

pytestmark = pytest.mark.real


@pytest.fixture(scope="module")
def queue():
    with serving(0, {}) as running:
        yield running


@pytest.fixture
def taken_apart(monkeypatch):
    """The lengths of the bodies that json.loads was given."""
    lengths, loads = [], json.loads

    def read(data, **how):
        lengths.append(len(data))
        return loads(data, **how)

    monkeypatch.setattr("local_platform.queue.bodies.json.loads", read)
    return lengths


@pytest.mark.parametrize("depth", [99, 101, 950, 960, 5_000])
def test_a_body_that_could_not_be_handed_on_is_refused(queue, depth):
    body = b'{"input": ' + b"[" * (depth - 1) + b"]" * (depth - 1) + b"}"
    status, report = queue("POST", "/run", body)
    assert status == (200 if depth < 100 else 400)
    if status == 200:
        job = queue.as_worker("w1", "GET", "job-take")[1]
        assert job["id"] == report["id"]
        queue.as_worker("w1", "POST", "job-done", f"/{job['id']}", {"output": 1})
    else:
        assert report["error"] == "The body must be nested at most 100 deep."


@pytest.mark.parametrize(
    "filling",
    [b"[]", b"{}", b"1.5", b'"x"', b'{"x":[]}', b"[[]]"],
    ids=lambda each: each.decode(),
)
@pytest.mark.parametrize(("operation", "size"), [("run", 9_900_000), ("runsync", 19_900_000)])
def test_a_body_of_countless_parts_is_refused_before_it_is_read(
    queue, taken_apart, operation, size, filling
):
    many = b",".join([filling] * (size // (len(filling) + 1)))
    taken_apart.clear()
    status, report = queue("POST", f"/{operation}?wait=1000", b'{"input": [' + many + b"]}")
    assert (status, report) == (
        400,
        {"error": "The body must have at most 100,000 commas and brackets."},
    )
    assert not [length for length in taken_apart if length > 1_000_000]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16", "utf-32"])
def test_no_encoding_hides_what_a_body_holds(encoding):
    assert bodies.parse('{"input": [[], {}]}'.encode(encoding)) == {"input": [[], {}]}
    with pytest.raises(ValueError, match="at most 100,000"):
        bodies.parse(f"[{'[],' * 60_000}1]".encode(encoding))


def test_numbers_without_end_are_refused(queue):
    many = b",".join([b"7" * 4_000] * 2_000)
    status, report = queue("POST", "/run", b'{"input": [' + many + b"]}")
    assert (status, report) == (400, {"error": "The body is not valid JSON."})


@pytest.mark.parametrize(("operation", "size"), [("run", 9_900_000), ("runsync", 19_900_000)])
def test_a_body_may_be_as_large_as_documented(queue, operation, size):
    body = {"input": {"prompt": "x" * size, "list": list(range(50_000))}}
    text = json.dumps(body, separators=(",", ":")).replace("x", "", 400_000).encode()
    status, report = queue("POST", f"/{operation}?wait=1000", text)
    assert (status, report["status"]) == (200, "IN_QUEUE")
    queue("POST", "/purge-queue")


def test_a_workers_body_is_read_by_the_same_rule(queue):
    job_id = queue("POST", "/run", {"input": {}})[1]["id"]
    queue.as_worker("w1", "GET", "job-take")
    for operation in ("job-done", "job-stream"):
        many = b'{"output": [' + b"[]," * 200_000 + b"1]}"
        status, report = queue.as_worker("w1", "POST", operation, f"/{job_id}", many)
        assert (status, report["error"][:27]) == (400, "The body must have at most ")
    assert queue.as_worker("w1", "POST", "job-done", f"/{job_id}", b"[]")[0] == 400
    assert queue("GET", f"/status/{job_id}")[1]["status"] == "IN_PROGRESS"
    queue.as_worker("w1", "POST", "job-done", f"/{job_id}", {"output": 1})
