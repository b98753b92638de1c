"""Puts the page together: its layout, and what happens at each event."""

from collections.abc import Callable
from functools import partial
from inspect import isawaitable
from pathlib import Path
from typing import Any

import gradio as gr

from flux_worker.contract.catalog import MODELS
from playground.local_endpoints import Served
from playground.page import layout
from playground.page.inputs import Data, Inputs
from playground.page.outcomes import Outcomes
from playground.places import Place
from playground.sessions import Session

HERE = Path(__file__).parent
QUIET = {"show_progress": "hidden", "api_visibility": "private", "concurrency_limit": None}


def build(
    place: Place,
    served: list[Served],
    sessions: Callable[[str], Session],
    *,
    allow_private: bool,
) -> gr.Blocks:
    """Return the page.

    Args:
        place: the endpoint that is asked at first.
        served: the endpoints whose model and price are known.
        sessions: returns a browser's runs, by the id that only the browser knows.
        allow_private: whether endpoints that are typed may be at private addresses.
    """
    models = list(dict.fromkeys(each.model for each in served)) or list(MODELS.values())
    with gr.Blocks(title="FLUX playground", analytics_enabled=False) as page:
        on = layout.build(models, place)
        inputs = Inputs(on, served, allow_private)
        _wire(page, on, inputs, Outcomes(on, inputs, sessions))
    return page


def _wire(page: gr.Blocks, on: layout.Layout, inputs: Inputs, outcomes: Outcomes) -> None:
    typed = [
        *(on.model, *on.fields.values(), on.base_url, on.endpoint_id, on.key, on.price),
        *(on.language, on.operation, on.everything, on.file, on.show, on.under_way),
        *(on.notes, on.session_id, on.shown, on.seen),
    ]
    told = [
        *typed,
        *(*on.examples, on.cost, on.run_said, on.code, on.state, on.picture, on.raw, on.download),
        *(on.cancel, on.use_seed, on.use_parameters, on.ask_again, on.forget, on.gallery),
        *(on.file_said, on.timer),
    ]

    def when(events: Any, do: Callable[..., Any], **options: Any) -> None:
        async def handle(data: Data) -> Any:
            # On the loop that follows the runs; what isn't asynchronous takes no time.
            updates = do(data)
            if isawaitable(updates):
                updates = await updates
            return updates or gr.skip()

        gr.on(events, handle, set(typed), told, **QUIET, **options)

    reviewed = [on.model, *on.fields.values(), on.base_url, on.endpoint_id, on.price]
    reviewed += [on.language, on.operation, on.everything]
    when([each.change for each in reviewed], inputs.review, trigger_mode="always_last")
    when([on.base_url.change, on.endpoint_id.change], inputs.suggest, trigger_mode="always_last")
    when(on.model.input, inputs.switch)
    when(on.dice.click, inputs.draw_seed)
    when(on.file.upload, inputs.read_file)
    for button in on.examples:
        button.click(lambda text: text, button, on.fields["prompt"], **QUIET)
    for ratio, button in on.ratios.items():
        when(button.click, partial(inputs.shape, ratio))
    when(page.load, outcomes.open)
    when(on.run.click, outcomes.run)
    when([on.timer.tick, on.show.input], outcomes.look)
    when(on.under_way.input, outcomes.choose)
    when(on.cancel.click, outcomes.cancel)
    when(on.ask_again.click, outcomes.ask_again)
    when(on.forget.click, outcomes.forget)
    when(on.use_seed.click, outcomes.use_seed)
    when(on.use_parameters.click, outcomes.use_parameters)

    async def pick(data: Data, event: gr.SelectData) -> Any:
        return outcomes.pick(event.index, data) or gr.skip()

    on.gallery.select(pick, set(typed), told, **QUIET)
