import asyncio
import io
import json
from contextlib import asynccontextmanager

import pytest
from PIL import Image
from scripted_endpoint import report, scripted
from test_runs import DONE, DRAWS, asked

from flux_worker.contract.catalog import DEV, KONTEXT
from flux_worker.contract.request import ImageRequest
from playground import estimate, input_pictures, runs, sessions
from playground.input_pictures import STAND_IN
from playground.places import Place
from playground.runs import State
from playground.sessions import Sessions


@pytest.fixture(autouse=True)
def _short_pauses(monkeypatch):
    monkeypatch.setattr(runs, "PAUSE", 0.01)


async def ended(session):
    while not all(run.is_final for run in session.runs):
        await asyncio.sleep(0.01)


@asynccontextmanager
async def opened(folder, notes=()):
    # Through JSON, as a browser keeps it.
    memory = json.loads(json.dumps({"session": "x", "runs": list(notes)}))
    session = Sessions(folder, lambda url: True).of(memory)
    yield session
    for run in list(session.runs):
        session.forget(run)


def test_several_runs_are_followed_at_once_and_remembered(tmp_path):
    async def both(endpoint):
        async with opened(tmp_path) as session:
            first = session.start(asked(), DEV, endpoint.place("my-key"), DEV.price)
            second = session.start(
                asked(prompt="a blue star"), DEV, endpoint.place("my-key"), DEV.price
            )
            await ended(session)
            assert session.runs == [first, second]
            return session.memory()["runs"]

    with scripted(status=[DRAWS, DONE]) as endpoint:
        notes = asyncio.run(both(endpoint))
    assert [note["input"]["prompt"] for note in notes] == ["a red circle", "a blue star"]
    kept = json.dumps(notes)
    assert "my-key" not in kept
    assert "base64" not in kept


def test_a_run_that_was_under_way_is_found_when_the_browser_is_back(tmp_path):
    request = asked(negative_prompt="blue", loras=[{"path": "owner/name", "scale": 0.5}])

    async def leave(endpoint):
        async with opened(tmp_path) as session:
            run = session.start(request, DEV, endpoint.place(), DEV.price)
            while run.state is not State.DRAWING:
                await asyncio.sleep(0.01)
            return session.memory()["runs"]

    async def come_back(notes):
        async with opened(tmp_path, notes) as session:
            await ended(session)
            (run,) = session.runs
            return run.state, run.picture is not None, run.request

    with scripted(status=DRAWS) as endpoint:
        notes = asyncio.run(leave(endpoint))
        endpoint.answers["status"] = [DONE]
        assert asyncio.run(come_back(notes)) == (State.DONE, True, request)


def taken(folder):
    file = io.BytesIO()
    Image.new("RGB", (512, 384), "red").save(file, "png")
    return input_pictures.take(file.getvalue(), folder)


def test_a_picture_is_sent_and_forgotten_with_its_run(tmp_path):
    picture = taken(tmp_path / "page")
    request = asked(image=STAND_IN, strength=0.6).sized_by(512, 384, DEV)

    async def one(endpoint):
        async with opened(tmp_path / "runs") as session:
            run = session.start(
                request, DEV, endpoint.place(), DEV.price, picture, ("width", "height")
            )
            input_pictures.discard(picture)
            await ended(session)
            sent = endpoint.asked[0][1]["input"]
            assert sent["image"] == run.begins_with.parameters()["image"] != STAND_IN
            assert sent["strength"] == 0.6
            assert not sent.keys() & {"width", "height"}
            assert (run.request.width, run.request.height) == (512, 384)
            notes = session.memory()["runs"]
            session.forget(run)
            assert list((tmp_path / "runs").iterdir()) == []
            return notes

    async def come_back(notes):
        async with opened(tmp_path / "runs", notes) as session:
            return session.runs[0]

    with scripted(status=DONE) as endpoint:
        notes = asyncio.run(one(endpoint))
        again = asyncio.run(come_back(notes))
    assert len(json.dumps(notes)) < 2_000
    assert again.request.model_dump() == request.model_dump()
    assert again.request.task == "image-to-image"
    assert again.left_to_picture == ("width", "height")
    assert again.begins_with is None


@pytest.mark.parametrize("own", [None, "0.5"])
def test_a_price_is_remembered_with_what_it_is_for(own):
    request, _ = ImageRequest.parse({"prompt": "x", "image": STAND_IN}, KONTEXT)
    price = estimate.price(KONTEXT, own or "")
    run = runs.Run(request, KONTEXT, Place("http://x/v2", "abc"), price, "job-1")
    again = sessions._recalled(sessions._note(run), lambda url: True)
    assert again.price == price
    assert again.estimate == run.estimate


def test_what_the_endpoint_has_forgotten_is_forgotten(tmp_path):
    note = sessions._note(runs.Run(asked(), DEV, Place("http://x/v2", "abc"), DEV.price, "job-1"))

    async def come_back(url):
        there = {**note, "base_url": url}
        async with opened(tmp_path, [there]) as session:
            await ended(session)
            return session.runs

    with scripted(status=(404, {})) as endpoint:
        assert asyncio.run(come_back(f"{endpoint.url}/v2")) == []


def test_a_run_whose_key_is_missing_stays_until_the_key_is_there(tmp_path):
    note = sessions._note(runs.Run(asked(), DEV, Place("http://x/v2", "abc"), DEV.price, "job-1"))

    async def come_back(endpoint):
        there = {**note, "base_url": f"{endpoint.url}/v2"}
        async with opened(tmp_path, [there]) as session:
            await ended(session)
            (run,) = session.runs
            assert "wants an API key" in run.problem
            session.ask_again(run, Place("http://elsewhere/v2", "abc", "another's-key"))
            await ended(session)
            assert endpoint.asked[-1] == ("status", None, None)
            endpoint.answers["status"] = [DONE]
            session.ask_again(run, endpoint.place("my-key"))
            assert not run.is_final
            await ended(session)
            return run, endpoint.asked[-1]

    with scripted(status=(401, {})) as endpoint:
        run, asked_last = asyncio.run(come_back(endpoint))
    assert run.picture
    assert asked_last == ("status", None, "Bearer my-key")


def test_a_browser_has_one_session_and_others_have_theirs(tmp_path):
    async def several(endpoint):
        sessions = Sessions(tmp_path, lambda url: True)
        mine = sessions.of(None)
        mine.start(asked(), DEV, endpoint.place(), DEV.price)
        await ended(mine)
        memory = mine.memory()
        assert sessions.of(memory) is mine
        assert len(mine.runs) == 1
        mine.forget(mine.runs[0])
        assert sessions.of(memory).runs == [], "another page's older memory brings nothing back"
        for other in (None, {}, [], 5, {"session": "guessed"}, {"session": "x", "runs": 5}):
            assert sessions.of(other) is not mine

    with scripted(status=DONE) as endpoint:
        asyncio.run(several(endpoint))


@pytest.mark.parametrize(
    "change",
    [
        {"model": "flux-9"},
        {"job": "../../x"},
        {"job": None},
        {"base_url": "file:///etc"},
        {"input": {"prompt": "x", "width": 99999}},
        {"created": "yesterday"},
        {"price": "much"},
        {"left_to_picture": 5},
        {"endpoint_id": 5},
        {"base_url": 5},
        {"price": 5},
        {"created": 10**400},
        {"body": 5},
        {"body": {"output": {}}},
    ],
)
def test_what_a_browser_remembers_wrongly_is_left_out(tmp_path, change):
    note = sessions._note(runs.Run(asked(), DEV, Place("http://x/v2", "abc"), DEV.price, "job-1"))

    async def come_back():
        async with opened(tmp_path, [{**note, **change}, {}, 5, None]) as session:
            return session.runs

    assert asyncio.run(come_back()) == []


@pytest.mark.parametrize(("more", "is_kept"), [("", True), ("x" * 5_000_000, False)])
def test_an_answer_is_remembered_unless_it_would_fill_the_browser(more, is_kept):
    output = {"image_url": "https://bucket.example/x.png", "huge": 10**30, "more": more}
    body = {"status": "COMPLETED", "output": output}
    place = Place("https://api.example/v2", "abc")
    run = runs.Run(asked(), DEV, place, DEV.price, "job-1", state=State.DONE, body=body)
    note = sessions._note(run)
    assert len(json.dumps(note)) < 20_000
    again = sessions._recalled(note, lambda url: True)
    assert (again.state is State.DONE, again.body == body) == (is_kept, is_kept)


def test_the_oldest_pictures_make_room(tmp_path, monkeypatch):
    monkeypatch.setattr(sessions, "KEPT", 2)

    async def four(endpoint):
        async with opened(tmp_path) as session:
            for seed in range(4):
                session.start(asked(seed=seed), DEV, endpoint.place(), DEV.price)
                await ended(session)
            return [run.request.seed for run in session.runs], len(list(tmp_path.glob("*/*")))

    with scripted(status=DONE) as endpoint:
        assert asyncio.run(four(endpoint)) == ([2, 3], 2)


def test_a_run_that_cannot_be_followed_says_so(tmp_path, monkeypatch, caplog):
    async def fail(*_):
        raise ZeroDivisionError("a red circle")

    async def one(endpoint):
        async with opened(tmp_path) as session:
            run = session.start(asked(), DEV, endpoint.place(), DEV.price)
            await ended(session)
            return run

    monkeypatch.setattr(runs.Run, "follow", fail)
    with scripted(status=report("IN_QUEUE")) as endpoint:
        run = asyncio.run(one(endpoint))
    assert run.state is State.FAILED
    assert "its log names the fault" in run.problem
    assert "ZeroDivisionError" in caplog.text
    assert "circle" not in caplog.text
