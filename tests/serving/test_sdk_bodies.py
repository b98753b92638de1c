"""What the platform hands out is read whatever callers put into it, up to a bound."""

import asyncio
import gzip
import json

import loopback
import pytest
from aiohttp import ClientSession
from job_server import HOLD, JobServer, work

from flux_worker.serving import sdk_bodies
from flux_worker.serving.sdk_bodies import DEEPEST, LONGEST_NUMBER, parse


def nested(depth, inside=""):
    return "[" * depth + inside + "]" * depth


HARD = {
    "a long number": "1" * 5_000,
    "a long negative number": "-" + "1" * 5_000,
    "deep lists": nested(5_000),
    "deep objects": '{"a":' * 5_000 + "1" + "}" * 5_000,
    "many brackets": nested(200_000, '"]"'),
}
"""What Python gives a whole body up for."""


@pytest.mark.parametrize("kind", HARD)
def test_what_is_hard_to_read_takes_nothing_else_along(kind):
    hard = HARD[kind]
    with pytest.raises((ValueError, RecursionError)):
        json.loads(hard)
    read = parse(f'[{{"id": "a", "input": {{"x": {hard}, "y": "]}}"}}}}, {{"id": "b"}}]')
    assert read[0]["id"] == "a"
    assert read[0]["input"]["y"] == "]}"
    assert read[1:] == [{"id": "b"}]
    json.dumps(read)


@pytest.mark.parametrize(
    "text", ["", " ", '{"a": [1, -2, 1.5, "x", null]}', nested(DEEPEST), "1" * LONGEST_NUMBER]
)
def test_all_else_is_read_as_it_is(text):
    assert parse(text) == (json.loads(text) if text.strip() else None)


def test_of_what_is_nested_too_deep_the_outer_part_is_kept():
    deep = f'{{"a": {nested(5_000, "1")}, "b": "[\\"{{", "c": [1, {{"d": 2}}]}}'
    read = parse(deep)
    assert (read["b"], read["c"]) == ('["{', [1, {"d": 2}])
    assert json.dumps(read["a"]) == nested(DEEPEST - 1, "null")


ENDLESS = "[" * 5_000 + '"' + '\\"' * 1_000_000
"""Each quote could begin a text: read again from each, it would take hours."""


@pytest.mark.parametrize(
    "text", ["<html>", "[1", nested(5_000)[:-1], "[" * 5_000, ENDLESS, '{"a": "' + nested(5_000)]
)
def test_what_is_no_json_is_refused(text):
    with pytest.raises(ValueError, match=r"Expecting|Unterminated"):
        parse(text)


def answered(body, headers):
    """Read what a platform answers with this body."""

    async def main(url):
        async with ClientSession() as session, session.get(url) as response:
            return await sdk_bodies.read(response)

    with loopback.serving(lambda request: request.answer(200, body, headers)) as url:
        return asyncio.run(main(url))


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "latin-1"])
def test_a_text_in_another_encoding_is_read_as_far_as_it_can_be(encoding):
    assert answered('{"id": "é"}'.encode(encoding), {})["id"] in ("é", "\ufffd")


def test_no_more_is_read_than_jobs_can_have(monkeypatch):
    monkeypatch.setattr(sdk_bodies, "LONGEST", 2_000_000)
    packed = {"Content-Encoding": "gzip"}
    text = b'"' + b"x" * 1_999_998 + b'"'
    assert len(answered(gzip.compress(text), packed)) == 1_999_998
    for body, headers in ((text + b" ", {}), (gzip.compress(b" " * 50_000_000), packed)):
        with pytest.raises(ValueError, match="too long"):
            answered(body, headers)


# -- on real HTTP, in the loop


@pytest.mark.parametrize("kind", HARD)
def test_a_job_that_is_hard_to_read_is_run_and_so_are_those_beside_it(kind, monkeypatch):
    async def handle(job):
        return {"ran": job["id"]}

    jobs = f'[{{"id": "hard", "input": {{"x": {HARD[kind]}}}}}, {{"id": "good", "input": {{}}}}]'
    server = JobServer([jobs.encode(), HOLD])
    work(server, handle, monkeypatch, lambda: len(server.results) == 2)
    assert sorted(server.answered()) == ["good", "hard"]
