"""What happens to runs: they are started, followed, shown, stopped and used again."""

import secrets
from collections.abc import Callable
from typing import Any

import gradio as gr

from flux_worker.errors import InvalidRequest
from playground import client
from playground.page import words
from playground.page.inputs import Data, Inputs, Updates
from playground.page.layout import Layout
from playground.page.panels import RAW_JSON
from playground.runs import Run
from playground.sessions import Session


class Outcomes:
    """The right half of the page."""

    def __init__(self, layout: Layout, inputs: Inputs, sessions: Callable[[str], Session]) -> None:
        """Take what it is about.

        Args:
            layout: the page's components.
            inputs: the other half.
            sessions: returns a browser's runs, by the id that only the browser knows.
        """
        self._on, self._inputs, self._sessions = layout, inputs, sessions

    def run(self, data: Data) -> Updates:
        """Send what is typed, unless something is wrong with it."""
        on, inputs = self._on, self._inputs
        checked, place = inputs.check(data), inputs.place(data)
        try:
            price, fault = inputs.price(data), place.fault()
        except ValueError as error:
            fault = str(error)
        if checked.request is None or fault:
            told = fault or str(InvalidRequest(*checked.faults.values()))
            return {**inputs.review(data, is_sent=True), on.run_said: words.problem(told)}
        run = self._session(data).start(checked.request, inputs.model(data), place, price)
        return {**self._view(data, run), on.shown: run.id, on.run_said: ""}

    def open(self, data: Data) -> Updates:
        """Take up what this browser had."""
        on = self._on
        remembered = data[on.notes] or {}
        session_id = remembered.get("session") or secrets.token_urlsafe()
        session = self._sessions(session_id)
        session.recall(remembered.get("runs", []), self._inputs.trusts)
        newest = session.runs[-1] if session.runs else None
        opened = {**data, on.session_id: session_id, on.seen: None}
        return {
            **self._show(opened, newest),
            **self._inputs.review(data),
            **self._inputs.go_to(data),
            on.session_id: session_id,
        }

    def look(self, data: Data) -> Updates:
        """Show how things stand."""
        return self._view(data, self._shown(data))

    def choose(self, data: Data) -> Updates:
        """Show the run that is chosen among those without a picture."""
        return self._show(data, self._session(data).find(data[self._on.under_way]))

    def pick(self, number: int, data: Data) -> Updates:
        """Show a picture of the gallery."""
        drawn = self._drawn(data)
        return self._show(data, drawn[number]) if number < len(drawn) else {}

    async def cancel(self, data: Data) -> Updates:
        """Stop the run that is shown."""
        if (run := self._shown(data)) is None:
            return {}
        try:
            await run.cancel()
        except client.NoAnswer as error:
            run.problem = f"It could not be cancelled. {error}"
        return self._view(data, run)

    def ask_again(self, data: Data) -> Updates:
        """Look for a run's result once more, with the key that is typed now."""
        if run := self._shown(data):
            self._session(data).ask_again(run, data[self._on.key].strip())
        return self._view(data, run)

    def forget(self, data: Data) -> Updates:
        """Drop the run that is shown."""
        if run := self._shown(data):
            self._session(data).forget(run)
        return self._show(data, None)

    def use_seed(self, data: Data) -> Updates:
        """Have the next run use the seed of the one that is shown."""
        run = self._shown(data)
        return {} if run is None else {self._on.fields["seed"]: str(run.request.seed)}

    def use_parameters(self, data: Data) -> Updates:
        """Set the form to the parameters of the run that is shown."""
        run = self._shown(data)
        return {} if run is None else self._inputs.fill(run.request.model_dump(), run.model)

    def _session(self, data: Data) -> Session:
        return self._sessions(data[self._on.session_id])

    def _shown(self, data: Data) -> Run | None:
        return self._session(data).find(data[self._on.shown])

    def _drawn(self, data: Data) -> list[Run]:
        """The runs with a picture, newest first."""
        return [run for run in reversed(self._session(data).runs) if run.picture]

    def _show(self, data: Data, run: Run | None) -> Updates:
        return {**self._view(data, run), self._on.shown: run.id if run else None}

    def _view(self, data: Data, run: Run | None) -> Updates:
        """Return what has changed since this page was last told."""
        now = self._everything(data, run)
        seen = data[self._on.seen] or {}
        changed = {name: told for name, told in now.items() if seen.get(name) != told}
        if not changed:
            return {}
        updates = {getattr(self._on, name): gr.update(**told) for name, told in changed.items()}
        notes = {"session": data[self._on.session_id], "runs": self._session(data).notes()}
        return {**updates, self._on.seen: {**seen, **changed}, self._on.notes: notes}

    def _everything(self, data: Data, run: Run | None) -> dict[str, dict[str, Any]]:
        session = self._session(data)
        pending = [each for each in reversed(session.runs) if not each.picture]
        drawn = self._drawn(data)
        is_raw = data[self._on.show] == RAW_JSON and run is not None
        picture = str(run.picture) if run and run.picture else None
        is_final = run is not None and run.is_final
        return {
            "state": {"value": words.state(run)},
            "picture": {"value": picture, "visible": bool(picture) and not is_raw},
            "raw": {"value": words.raw(run) if run else "", "visible": is_raw},
            "download": {"value": picture, "visible": bool(picture)},
            "cancel": {"visible": run is not None and not is_final},
            "use_seed": {"visible": run is not None},
            "use_parameters": {"visible": run is not None},
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
            "timer": {"active": not all(each.is_final for each in session.runs)},
        }
