"""Puts the page together: its layout, and what happens at each event."""

from collections.abc import Callable
from functools import partial
from inspect import isawaitable
from pathlib import Path
from typing import Any

import gradio as gr

from flux_worker.contract.catalog import MODELS
from flux_worker.contract.sizes import SIDES
from playground.local_endpoints import Served
from playground.page import layout
from playground.page.inputs import Data, Inputs
from playground.page.outcomes import Outcomes
from playground.places import Place
from playground.sessions import Sessions, Trust

QUIET = {"show_progress": "hidden", "api_visibility": "private", "concurrency_limit": None}


def build(
    place: Place,
    served: list[Served],
    sessions: Sessions,
    trusts: Trust,
    folder: Path,
) -> gr.Blocks:
    """Return the page.

    Args:
        place: the endpoint that is asked at first.
        served: the endpoints whose model and price are known.
        sessions: the browsers' runs.
        trusts: whether an endpoint of this URL may be at a private address.
        folder: where input pictures are saved.
    """
    models = list(dict.fromkeys([*(each.model for each in served), *MODELS.values()]))
    with gr.Blocks(title="FLUX playground", analytics_enabled=False) as page:
        on = layout.build(models, place)
        inputs = Inputs(on, served, trusts, folder)
        _wire(page, on, inputs, Outcomes(on, inputs), sessions)
    return page


def _wire(
    page: gr.Blocks,
    on: layout.Layout,
    inputs: Inputs,
    outcomes: Outcomes,
    sessions: Sessions,
) -> None:
    fields = list(on.fields.values())
    paths = [row.fields["path"] for row in on.loras]
    rows = [field for row in on.loras for field in row.fields.values()]
    entered = {
        *(on.model, *fields, *rows, on.base_url, on.endpoint_id, on.key, on.price),
        *(on.language, on.operation, on.everything, on.file),
        *(on.image.file, on.image.picture, on.image.mask),
    }
    watched = {on.show, on.memory, on.shown, on.seen}
    asked = {*entered, *watched}
    pictured = [on.image.picture, on.image.file, on.image.stage, on.image.mask, on.image.said]
    filled = [on.model, *fields, *rows, on.endpoint_id, *pictured]
    reviewed = [*on.examples, *fields, *rows, on.cost, on.code, on.image.file, on.image.panel]
    reviewed += [on.image.tools, on.image.clear, on.image.save]
    reviewed += [each for row in on.loras for each in (row.whole, row.remove)]
    placed = [*paths, on.price, on.model_said]
    viewed = [
        *(on.state, on.picture, on.comparison, on.raw, on.download, on.cancel),
        *(on.use_seed, on.use_parameters, on.use_image, on.ask_again, on.forget),
        *(on.under_way, on.gallery, on.timer, on.said),
        *(on.memory, on.shown, on.seen),
    ]

    def when(events: Any, do: Callable[[Data], Any], outputs: list[Any], **more: Any) -> None:
        async def handle(data: Data) -> Any:  # on the event loop: it takes no time
            updates = do(data)
            if isawaitable(updates):
                updates = await updates
            return updates or gr.skip()

        gr.on(events, handle, entered, outputs, **QUIET, **more)

    def when_runs(
        events: Any,
        do: Callable[..., Any],
        outputs: list[Any],
        inputs: set[Any] = asked,
        **more: Any,
    ) -> None:
        async def handle(data: Data) -> Any:
            updates = do(sessions.of(data[on.memory]), data)
            if isawaitable(updates):
                updates = await updates
            return updates or gr.skip()

        gr.on(events, handle, inputs, outputs, **QUIET, **more)

    typed = [on.model, *fields, *rows, on.base_url, on.endpoint_id, on.price]
    typed += [on.language, on.operation, on.everything, on.image.picture, on.image.mask]
    latest: Any = {"trigger_mode": "always_last"}
    when([each.change for each in typed], inputs.review, reviewed, **latest)
    when([on.base_url.change, on.endpoint_id.change], inputs.go_to, placed, **latest)
    when(on.model.input, inputs.switch, [*fields, on.endpoint_id])
    when(on.dice.click, inputs.draw_seed, fields)
    when(on.file.upload, inputs.read_file, [*filled, on.file, on.file_said])
    sides = [on.fields[side] for side in SIDES]
    when(on.image.file.upload, inputs.take_file, [*pictured, *sides])
    when(on.image.remove.click, inputs.remove_picture, [*pictured, *sides])
    for number, row in enumerate(on.loras):
        when(row.remove.click, partial(inputs.remove_lora, number), rows)
    for button in on.examples:
        button.click(lambda text: text, button, on.fields["prompt"], **QUIET)
    for ratio, button in on.ratios.items():
        when(button.click, partial(inputs.shape, ratio), fields)

    when_runs(page.load, outcomes.open, list(dict.fromkeys([*viewed, *reviewed, *placed])))
    # Each press is a run, and each choice is heard: Gradio drops what comes while it is busy.
    when_runs(on.run.click, outcomes.run, [*viewed, *reviewed], trigger_mode="multiple")
    when_runs(on.show.input, outcomes.look, viewed, watched, **latest)
    when_runs(on.timer.tick, outcomes.look, viewed, watched)
    # Nothing else reads it: a choice that has just become a picture is refused by Gradio.
    when_runs(on.under_way.input, outcomes.choose, viewed, {*asked, on.under_way})
    when_runs(on.cancel.click, outcomes.cancel, viewed)
    when_runs(on.ask_again.click, outcomes.ask_again, viewed)
    when_runs(on.forget.click, outcomes.forget, viewed)
    when_runs(on.use_seed.click, outcomes.use_seed, fields)
    when_runs(on.use_parameters.click, outcomes.use_parameters, filled)
    when_runs(on.use_image.click, outcomes.use_image, [*pictured, *sides])

    async def pick(data: Data, event: gr.SelectData) -> Any:
        return outcomes.pick(event.index, sessions.of(data[on.memory]), data) or gr.skip()

    on.gallery.select(pick, asked, viewed, **QUIET)
