import asyncio
import time

import pytest
from aiohttp import ClientTimeout
from loopback import serving
from scripted_endpoint import report, scripted

from local_platform.processes.ports import free_ports
from playground import client
from playground.places import Place

INPUT = {"prompt": "a “red” circle\n🔴", "seed": 2**63 - 1}


def submit(place):
    return asyncio.run(client.submit(place, INPUT))


def status(place, job_id="job-1"):
    return asyncio.run(client.status(place, job_id))


def test_a_job_is_queued_asked_for_and_stopped_with_the_key():
    with scripted(
        status=report("IN_PROGRESS", output={"step": 1}), cancel=report("CANCELLED")
    ) as endpoint:
        place = endpoint.place("my-key")
        assert submit(place) == "job-1"
        assert status(place) == {"id": "job-1", "status": "IN_PROGRESS", "output": {"step": 1}}
        asyncio.run(client.cancel(place, "job-1"))
        assert endpoint.asked == [
            ("run", {"input": INPUT}, "Bearer my-key"),
            ("status", None, "Bearer my-key"),
            ("cancel", None, "Bearer my-key"),
        ]


def test_without_a_key_none_is_sent():
    with scripted() as endpoint:
        submit(endpoint.place())
        assert endpoint.asked[0][2] is None


@pytest.mark.parametrize(
    ("answer", "kind", "said"),
    [
        ((401, b""), client.Refused, "refuses this API key"),
        ((403, {"error": "x"}), client.Refused, "refuses this API key"),
        ((404, {"error": "not found"}), client.Refused, "has no endpoint abc: check the id"),
        ((413, b"<html>"), client.Refused, "shorten the prompts"),
        ((400, {"error": "no input"}), client.Refused, "HTTP 400.*It says: no input"),
        ((301, b""), client.Refused, "HTTP 301: check the address"),
        (
            (200, b"<html>Log in to the hotel's network</html>"),
            client.Refused,
            "not as an endpoint does",
        ),
        ((200, {"hello": "world"}), client.Refused, "not as an endpoint does"),
        ((200, [1]), client.Refused, "not as an endpoint does"),
        ((200, b"[" * 100_000), client.Refused, "not as an endpoint does"),
        ((429, b""), client.Unavailable, "too many requests"),
        ((502, b"bad gateway"), client.Unavailable, "out of order .HTTP 502"),
    ],
)
def test_a_job_that_isnt_queued_is_said_by_the_cause(answer, kind, said):
    with (
        scripted(run=answer) as endpoint,
        pytest.raises(client.EndpointError, match=said) as raised,
    ):
        submit(endpoint.place("my-key"))
    assert type(raised.value) is kind
    assert "my-key" not in str(raised.value)


def test_an_endpoint_that_wants_a_key_says_so():
    with scripted(run=(401, b"")) as endpoint, pytest.raises(client.Refused, match="wants an"):
        submit(endpoint.place())


def test_a_result_that_is_no_longer_kept_is_said():
    with scripted() as endpoint, pytest.raises(client.UnknownJob, match="for half an hour"):
        status(endpoint.place())


def test_nothing_there_is_said():
    place = Place(f"http://127.0.0.1:{free_ports(1)[0]}/v2", "abc")
    with pytest.raises(client.EndpointError, match=r"Nothing answers at http://127\.0"):
        submit(place)
    with pytest.raises(client.EndpointError, match=r"Nothing answers at http://nowhere\.invalid"):
        submit(Place("http://nowhere.invalid/v2", "abc"))


def test_a_job_that_may_be_queued_all_the_same_is_said(monkeypatch):
    monkeypatch.setattr(client, "PATIENCE", ClientTimeout(total=0.05))
    with serving(lambda request: time.sleep(0.3)) as url:
        with pytest.raises(client.Unavailable, match="may be queued there all the same"):
            submit(Place(url, "abc"))
        with pytest.raises(client.Unavailable, match=r"takes too long to answer\.$"):
            status(Place(url, "abc"))


def test_a_dropped_connection_is_said():
    with serving(lambda request: request.drop()) as url:
        with pytest.raises(client.EndpointError, match="Nothing answers") as raised:
            submit(Place(url, "abc"))
        assert type(raised.value) is client.Unavailable


def test_https_at_a_plain_port_is_said():
    with (
        scripted() as endpoint,
        pytest.raises(client.Refused, match="begins with http:// or https://"),
    ):
        submit(Place(endpoint.url.replace("http:", "https:") + "/v2", "abc"))


def test_an_answer_without_end_is_not_read(monkeypatch):
    monkeypatch.setattr(client, "LARGEST_ANSWER", 1000)
    with scripted(run=(200, b" " * 10_000_000)) as endpoint, pytest.raises(client.Refused):
        submit(endpoint.place())


def test_a_stranger_cannot_ask_this_machine():
    with scripted() as endpoint:
        place = Place(f"{endpoint.url}/v2", "abc", allow_private=False)
        with pytest.raises(client.Refused, match="only whoever runs this playground"):
            submit(place)
        assert not endpoint.asked


def test_half_an_emoji_is_no_text_but_the_rest_is():
    cut = (200, b'{"status": "FAILED", "error": "\\ud83d\\ude00 and \\ud83d"}')
    with scripted(status=cut) as endpoint:
        assert status(endpoint.place())["error"] == "\N{GRINNING FACE} and ?"


@pytest.mark.parametrize("host", ["a" * 300, "a..b"])
def test_a_host_that_none_can_have_is_said_to_be_wrong(host):
    with pytest.raises(client.EndpointError, match="check the address"):
        submit(Place(f"http://{host}/v2", "abc"))
