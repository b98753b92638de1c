"""A run: one job at an endpoint, followed from the press of the button to the picture."""

import asyncio
import re
import secrets
import time
from dataclasses import dataclass, field, replace
from decimal import Decimal
from enum import StrEnum
from pathlib import Path
from typing import Any

from flux_worker.contract import pricing
from flux_worker.contract.catalog import Price, ServedModel
from flux_worker.contract.request import ImageRequest
from playground import client, pictures
from playground.input_pictures import InputPicture
from playground.places import Place

PAUSE, LONGEST_PAUSE = 0.5, 8.0
"""Seconds between two questions about a job; they grow while the endpoint doesn't answer."""
JOB_ID = re.compile(r"[A-Za-z0-9_-]{1,200}")
ABSURD = 1e15
"""No amount, time or percentage of an answer is as large; beyond it floats aren't exact."""
TIMED_OUT = (
    "The job ran out of time: raise the endpoint's execution timeout, or ask for a smaller image "
    "or fewer steps."
)


class State(StrEnum):
    """How a run stands, as the page calls it."""

    SENDING = "sending"
    WAITING = "waiting"
    DRAWING = "drawing"
    DONE = "done"
    FAILED = "failed"
    CANCELLED = "cancelled"


STATES = {
    "IN_QUEUE": State.WAITING,
    "IN_PROGRESS": State.DRAWING,
    "COMPLETED": State.DONE,
    "FAILED": State.FAILED,
    "TIMED_OUT": State.FAILED,
    "CANCELLED": State.CANCELLED,
}
"""By the platform's name: https://docs.runpod.io/serverless/endpoints/job-states."""
FINAL = frozenset({State.DONE, State.FAILED, State.CANCELLED})


@dataclass(eq=False)
class Run:
    """One request that was sent, and all that is known of it."""

    request: ImageRequest
    """With the seed that is used: it is drawn here, since an answer doesn't tell it. It names its
    pictures by `STAND_IN`."""
    model: ServedModel
    place: Place
    price: Price
    """By which its cost was estimated."""
    job_id: str = ""
    id: str = field(default_factory=lambda: secrets.token_hex(8))
    state: State = State.SENDING
    body: dict[str, Any] = field(default_factory=dict, repr=False)
    """What the endpoint told last, word for word."""
    problem: str | None = None
    """Why there is no picture, or nothing new of the job."""
    picture: Path | None = None
    begins_with: InputPicture | None = None
    """The picture that the request stands for, while it is here."""
    left_to_picture: tuple[str, ...] = ()
    """The sides of the image that aren't sent, since that picture decides them."""
    may_ask_again: bool = False
    """Whether another question, or another key, may bring what is missing."""
    is_gone: bool = False
    """Whether the endpoint or the bucket has forgotten it."""
    created: float = field(default_factory=time.time)
    """Seconds since 1970."""

    @property
    def is_final(self) -> bool:
        """Whether nothing more will come of it, be it the picture's file."""
        return self.state in FINAL and bool(
            self.state is not State.DONE or self.picture or self.problem
        )

    @property
    def output(self) -> dict[str, Any]:
        """The result, or how far a running job is."""
        output = self.body.get("output")
        return output if isinstance(output, dict) else {}

    @property
    def cost(self) -> float | None:
        """US dollars, as the endpoint answered them."""
        return number(self.output.get("cost"))

    @property
    def estimate(self) -> Decimal:
        """What was to be expected, in US dollars."""
        return pricing.cost(self.request.width, self.request.height, self.price)

    def seconds(self, key: str) -> float | None:
        """Return the body's `delayTime` or `executionTime`."""
        milliseconds = number(self.body.get(key))
        return None if milliseconds is None else milliseconds / 1000

    async def follow(self, folder: Path) -> None:
        """Send the job, unless it was, and ask for it until its picture is here or it has failed.

        Args:
            folder: where the picture is saved.
        """
        self.problem, self.may_ask_again = None, False
        try:
            if not self.job_id:
                await self._send()
            if self.state is not State.DONE:
                await self._until_its_end()
            if self.state is State.DONE:
                await self._save(folder)
        except (client.EndpointError, pictures.NoPicture) as error:
            self.problem, self.may_ask_again = str(error), bool(self.job_id)
            self.is_gone = isinstance(error, client.UnknownJob | pictures.Gone)
            if self.state is not State.DONE:
                self.state = State.FAILED
        finally:
            self.place = replace(self.place, key="")  # nothing more is asked

    async def cancel(self) -> None:
        """Stop the job.

        Raises:
            EndpointError: it may go on.
        """
        if not self.job_id:
            raise client.Unavailable("The endpoint hasn't taken it yet: try again when it has.")
        await client.cancel(self.place, self.job_id)

    async def _send(self) -> None:
        unused = {*self.left_to_picture}
        # Not every endpoint knows these.
        unused |= set() if self.request.loras else {"loras"}
        unused |= set() if self.request.image else {"strength"}
        asked = self.request.model_dump(exclude_none=True, exclude=unused)
        if self.begins_with:
            asked |= await asyncio.to_thread(self.begins_with.parameters)
        # Previews cost next to nothing, and make no other picture.
        asked["preview"] = True
        job_id = await client.submit(self.place, asked)
        if not JOB_ID.fullmatch(job_id):
            raise client.Refused(f"{self.place.url} gave the job an id that none can have.")
        self.job_id, self.state = job_id, State.WAITING

    async def _until_its_end(self) -> None:
        pause = PAUSE
        while True:
            try:
                self.body = await client.status(self.place, self.job_id)
                pause, self.problem = PAUSE, None
                self.state = STATES.get(self.body["status"], State.WAITING)
            except client.Unavailable as error:
                pause = min(pause * 2, LONGEST_PAUSE)
                self.problem = f"{error} Asking again; the job goes on there."
            if self.state in FINAL:
                break
            await asyncio.sleep(pause)
        if self.state is State.FAILED:
            is_late = self.body["status"] == "TIMED_OUT"
            self.problem = TIMED_OUT if is_late else _words(self.body.get("error"))

    async def _save(self, folder: Path) -> None:
        data = await pictures.fetch(self.output.get("image_url"), self.place)
        name = f"flux-{self.model.name}-{self.request.seed}.{pictures.extension(data)}"
        path = folder / self.id / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        self.picture = path


def number(told: object) -> float | None:
    """Return a number that an endpoint told, or None where it is none that means anything."""
    if isinstance(told, bool) or not isinstance(told, int | float):
        return None
    return float(told) if abs(told) < ABSURD else None  # NaN fails it, too


def _words(error: object) -> str:
    if isinstance(error, str) and error:
        return error[: client.LONGEST_REASON]
    return "The job failed, and the endpoint doesn't say why."
