"""What happens to runs: they are started, followed, shown, stopped and used again."""

import zlib
from typing import Any

import gradio as gr

from flux_worker.contract.sizes import SIDES
from flux_worker.errors import InvalidRequest
from playground import client, input_pictures
from playground.page import image, words
from playground.page.inputs import Data, Inputs, Updates
from playground.page.layout import GLANCE, LOOK, Layout
from playground.page.panels import COMPARISON, RAW_JSON
from playground.runs import Run
from playground.sessions import Session


class Outcomes:
    """The right half of the page. Each method is told whose runs they are."""

    def __init__(self, layout: Layout, inputs: Inputs) -> None:
        """Take what it is about: the page's components, and its other half."""
        self._on, self._inputs = layout, inputs

    def open(self, session: Session, data: Data) -> Updates:
        """Begin with the newest run of this browser's."""
        newest = session.runs[-1] if session.runs else None
        return {
            **self._show(session, {**data, self._on.seen: None}, newest),
            **self._inputs.review(data),
            **self._inputs.go_to(data),
        }

    def run(self, session: Session, data: Data) -> Updates:
        """Send what is typed, unless something is wrong with it."""
        on, inputs = self._on, self._inputs
        checked, place = inputs.check(data), inputs.place(data)
        try:
            price, fault = inputs.price(data), place.fault()
        except ValueError as error:
            fault = str(error)
        if checked.request is None or fault:
            told = fault or str(InvalidRequest(*checked.faults.values()))
            return {**inputs.review(data, is_sent=True), on.said: words.problem(told)}
        request = checked.request
        try:
            picture = inputs.picture(data)
        except input_pictures.Unusable as error:
            return {on.said: words.problem(str(error))}
        left = [side for side in SIDES if side not in checked.given and request.begins_with_picture]
        run = session.start(request, inputs.model(data), place, price, picture, left)
        return {**self._show(session, data, run), on.said: ""}

    def look(self, session: Session, data: Data) -> Updates:
        """Show how things stand."""
        return self._view(session, data, self._shown(session, data))

    def choose(self, session: Session, data: Data) -> Updates:
        """Show the run that is chosen among those without a picture."""
        return self._show(session, data, session.find(data[self._on.under_way]))

    def pick(self, number: int, session: Session, data: Data) -> Updates:
        """Show a picture of the gallery."""
        drawn = _drawn(session)
        return self._show(session, data, drawn[number]) if number < len(drawn) else {}

    async def cancel(self, session: Session, data: Data) -> Updates:
        """Stop the run that is shown."""
        run, told = self._shown(session, data), ""
        try:
            if run:
                await run.cancel()
        except client.EndpointError as error:
            told = words.problem(f"It could not be cancelled. {error}")
        return {**self._view(session, data, run), self._on.said: told}

    def ask_again(self, session: Session, data: Data) -> Updates:
        """Look for a run's result once more, with the key that is typed now."""
        if run := self._shown(session, data):
            session.ask_again(run, self._inputs.place(data))
        return self._view(session, data, run)

    def forget(self, session: Session, data: Data) -> Updates:
        """Drop the run that is shown."""
        if run := self._shown(session, data):
            session.forget(run)
        return self._show(session, data, None)

    def use_seed(self, session: Session, data: Data) -> Updates:
        """Have the next run use the seed of the one that is shown."""
        run = self._shown(session, data)
        return {self._on.fields["seed"]: str(run.request.seed)} if run else {}

    def use_parameters(self, session: Session, data: Data) -> Updates:
        """Set the form to the parameters of the run that is shown."""
        run = self._shown(session, data)
        if run is None:
            return {}
        given = run.request.model_dump(exclude=set(run.left_to_picture))
        return self._inputs.fill(given, run.model, data, run.begins_with)

    async def use_image(self, session: Session, data: Data) -> Updates:
        """Have the next run start from the picture that is shown."""
        run = self._shown(session, data)
        if not run or not run.picture:
            return {}
        return await self._inputs.take(run.picture.read_bytes(), data)

    def _shown(self, session: Session, data: Data) -> Run | None:
        return session.find(data[self._on.shown])

    def _show(self, session: Session, data: Data, run: Run | None) -> Updates:
        return {**self._view(session, data, run), self._on.shown: run.id if run else None}

    def _view(self, session: Session, data: Data, run: Run | None) -> Updates:
        """Return what has changed since this page was last told."""
        now = self._everything(session, data, run)
        seen = data[self._on.seen] or {}
        # In the page, so that what was lost on the way to it counts as not told.
        digests = {name: zlib.crc32(repr(told).encode()) for name, told in now.items()}
        changed = {name: told for name, told in now.items() if seen.get(name) != digests[name]}
        if not changed:
            return {}
        updates = {getattr(self._on, name): gr.update(**told) for name, told in changed.items()}
        return {**updates, self._on.seen: digests, self._on.memory: session.memory()}

    def _everything(
        self, session: Session, data: Data, run: Run | None
    ) -> dict[str, dict[str, Any]]:
        pending = [each for each in reversed(session.runs) if not each.picture]
        drawn = _drawn(session)
        is_raw = data[self._on.show] == RAW_JSON and run is not None
        picture = str(run.picture) if run and run.picture else None
        before = run.begins_with if run and picture else None
        is_compared = data[self._on.show] == COMPARISON and before is not None
        is_final = run is not None and run.is_final
        return {
            "state": {"value": words.state(run)},
            "picture": {"value": picture, "visible": bool(picture) and not (is_raw or is_compared)},
            "comparison": {
                "value": image.comparison(run) if run and is_compared else "",
                "visible": is_compared,
            },
            "raw": {"value": words.raw(run) if run and is_raw else "", "visible": is_raw},
            "download": {"value": picture, "visible": bool(picture)},
            "cancel": {"visible": run is not None and not is_final},
            "use_seed": {"visible": run is not None},
            "use_parameters": {"visible": run is not None},
            "use_image": {"visible": bool(picture)},
            "ask_again": {"visible": run is not None and run.may_ask_again},
            "forget": {"visible": is_final},
            "under_way": {
                "choices": [(words.label(each), each.id) for each in pending],
                "value": run.id if run in pending else None,
                "visible": bool(pending),
            },
            "gallery": {
                "value": [(str(each.picture), words.caption(each)) for each in drawn],
                "visible": bool(drawn),
            },
            "timer": {"value": GLANCE if all(each.is_final for each in session.runs) else LOOK},
        }


def _drawn(session: Session) -> list[Run]:
    """The runs with a picture, newest first."""
    return [run for run in reversed(session.runs) if run.picture]
