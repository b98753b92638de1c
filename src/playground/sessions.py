"""The runs of each browser. They go on while its page is closed, and are found when it is back."""

import asyncio
import json
import logging
import secrets
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from shutil import rmtree
from typing import Any

from flux_worker.contract.catalog import MODELS, Price, ServedModel
from flux_worker.contract.request import ImageRequest
from flux_worker.contract.sizes import SIDES
from playground import estimate
from playground.input_pictures import InputPicture
from playground.places import Place
from playground.runs import JOB_ID, Run, State

log = logging.getLogger(__name__)

KEPT = 50
"""Runs of a browser, which remembers as many."""
LARGEST_BODY = 10_000
"""Letters of an answer that a browser remembers: some have 5 million for all that it remembers."""
Note = Mapping[str, Any]
"""What a browser remembers of a run: how to ask for it again, but for the key and the picture."""

Trust = Callable[[str], bool]
"""Whether an endpoint of this URL may be at a private address."""


class Sessions:
    """All browsers' runs."""

    def __init__(self, folder: Path, trusts: Trust) -> None:
        """Begin without any; `folder` is where pictures are saved."""
        self._folder, self._trusts = folder, trusts
        self._by_id: dict[str, Session] = {}

    def of(self, memory: Any) -> "Session":
        """Return the session of a browser that remembers this; a new one has what it remembers."""
        known = memory if isinstance(memory, dict) else {}
        session_id = str(known.get("session") or secrets.token_urlsafe())
        if session_id not in self._by_id:
            self._by_id[session_id] = session = Session(session_id, self._folder)
            runs = known.get("runs")
            session.recall(runs if isinstance(runs, list) else [], self._trusts)
        return self._by_id[session_id]


class Session:
    """One browser's runs, oldest first."""

    def __init__(self, session_id: str, folder: Path) -> None:
        """Begin without runs.

        Args:
            session_id: what the browser knows it by, and nobody else.
            folder: where pictures are saved.
        """
        self.runs: list[Run] = []
        self._id = session_id
        self._folder = folder
        self._tasks: dict[str, asyncio.Task[None]] = {}

    def start(
        self,
        request: ImageRequest,
        model: ServedModel,
        place: Place,
        price: Price,
        picture: InputPicture | None = None,
        left_to_picture: Sequence[str] = (),
    ) -> Run:
        """Send a request, and follow its job.

        Args:
            request: what to make.
            model: what makes it.
            place: where.
            price: by which its cost is estimated.
            picture: what the request's pictures stand for; it is copied.
            left_to_picture: the sides that aren't sent.
        """
        run = Run(request, model, place, price, left_to_picture=tuple(left_to_picture))
        if picture:
            run.begins_with = picture.copied(self._folder / run.id / "input")
        self._keep(run)
        return run

    def recall(self, notes: Sequence[Note], trusts: Trust) -> None:
        """Take up the runs that a browser remembers; nothing good is known of its notes."""
        for note in notes[-KEPT:]:
            with suppress(Exception):  # of another version, or nobody's
                self._keep(_recalled(note, trusts), is_recalled=True)

    def memory(self) -> dict[str, Any]:
        """Return what the browser shall remember."""
        return {"session": self._id, "runs": [_note(run) for run in self.runs if run.job_id]}

    def find(self, run_id: str | None) -> Run | None:
        """Return the run of this id, if it is one of this browser's."""
        return next((run for run in self.runs if run.id == run_id), None)

    def ask_again(self, run: Run, place: Place) -> None:
        """Ask once more for a run that was lost sight of.

        Args:
            run: that may be asked for again.
            place: the endpoint that is named now; its key is used if it is a key of that host.
        """
        if run.may_ask_again:
            if place.base_url == run.place.base_url:
                run.place = replace(run.place, key=place.key)
            run.state = State.DONE if run.state is State.DONE else State.WAITING
            self._follow(run)

    def forget(self, run: Run) -> None:
        """Drop a run and its files. Its job goes on, and its picture stays in the bucket."""
        self.runs.remove(run)
        self._tasks.pop(run.id).cancel()
        rmtree(self._folder / run.id, ignore_errors=True)

    def _keep(self, run: Run, is_recalled: bool = False) -> None:
        self.runs.append(run)
        self._follow(run, is_recalled)
        for old in [each for each in self.runs if each.is_final][: max(0, len(self.runs) - KEPT)]:
            self.forget(old)

    def _follow(self, run: Run, is_recalled: bool = False) -> None:
        following = self._until_its_end(run, is_recalled)
        self._tasks[run.id] = asyncio.get_running_loop().create_task(following)

    async def _until_its_end(self, run: Run, is_recalled: bool) -> None:
        try:
            await run.follow(self._folder)
        except Exception as error:
            # Its text may hold a piece of the prompt.
            log.error("A run could not be followed: %s", type(error).__name__)
            run.state, run.problem = State.FAILED, "The playground failed; its log names the fault."
        if is_recalled and run.is_gone:
            self.forget(run)


def _note(run: Run) -> Note:
    url = run.output.get("image_url")
    lasts = isinstance(url, str) and url.startswith("http") and not run.place.is_here
    body = json.dumps(run.body if run.state is State.DONE and lasts else None)
    return {
        "job": run.job_id,
        "base_url": run.place.base_url,
        "endpoint_id": run.place.endpoint_id,
        "model": run.model.name,
        "price": str(run.price.amount),
        "per": run.price.per,
        "input": run.request.model_dump(mode="json", exclude_none=True),
        "left_to_picture": run.left_to_picture,
        "created": run.created,
        "body": body if len(body) <= LARGEST_BODY else None,
    }


def _recalled(note: Note, trusts: Trust) -> Run:
    model = MODELS[note["model"]]
    place = Place(note["base_url"], note["endpoint_id"])
    place = replace(place, allow_private=trusts(place.url))
    if place.fault() or not JOB_ID.fullmatch(note["job"]):
        raise ValueError("what is remembered is no run")
    request, _ = ImageRequest.parse(note["input"], model)
    by_image = note.get("per") == "image"  # which no operator's own price is
    price = model.price if by_image else estimate.price(model, note["price"])
    left = tuple(side for side in SIDES if side in note.get("left_to_picture", ()))
    created = float(note["created"])
    run = Run(request, model, place, price, note["job"], created=created, left_to_picture=left)
    if body := json.loads(note["body"] or "null"):
        run.body, run.state = dict(body), State.DONE
    return run
