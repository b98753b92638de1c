"""What stands where on the page. Nothing happens here: `build` wires it."""

from dataclasses import dataclass
from typing import Any

import gradio as gr

from flux_worker.contract.catalog import ServedModel
from playground.page import image, loras, panels
from playground.places import Place

LOOK, GLANCE = 0.5, 5.0
"""Seconds between two looks at the runs: while one is under way, and else, for those that another
tab has started or that this page was told nothing of."""
REMEMBERED_AS = "flux-playground"


@dataclass(frozen=True)
class Layout:
    """The page's components, by what they are for."""

    model: Any
    model_said: Any
    fields: dict[str, Any]
    """By the parameter's name."""
    examples: list[Any]
    ratios: dict[str, Any]
    """A button for each aspect ratio."""
    dice: Any
    loras: list[loras.Row]
    image: image.Parts
    cost: Any
    run: Any
    said: Any

    language: Any
    operation: Any
    everything: Any
    code: Any

    base_url: Any
    endpoint_id: Any
    key: Any
    price: Any
    file: Any
    file_said: Any

    show: Any
    state: Any
    picture: Any
    comparison: Any
    raw: Any
    download: Any
    cancel: Any
    use_seed: Any
    use_parameters: Any
    use_image: Any
    ask_again: Any
    forget: Any
    under_way: Any
    gallery: Any

    timer: Any
    memory: Any
    """What the browser remembers beyond the page: which session is its, and which runs."""
    shown: Any
    """The id of the run that is shown."""
    seen: Any
    """Digests of what this page was told of the runs."""


def build(models: list[ServedModel], place: Place) -> Layout:
    """Lay the page out inside the `Blocks` that are open.

    Args:
        models: those that can be chosen; the first one is.
        place: the endpoint that is asked at first.
    """
    gr.Markdown("# FLUX playground")
    with gr.Row(equal_height=False):
        with gr.Column(min_width=320):
            titles = [(each.title, each.name) for each in models]
            model = gr.Radio(titles, value=models[0].name, label="Model", elem_id="model")
            model_said = gr.HTML(elem_id="model_said")
            with gr.Tabs():
                with gr.Tab("Input"):
                    parts = panels.inputs(models[0])
                with gr.Tab("API"):
                    parts |= panels.api()
        with gr.Column(min_width=320):
            parts |= panels.result()
    with gr.Row(equal_height=False):
        with gr.Column(min_width=320), gr.Accordion("Endpoint", open=True):
            parts |= panels.endpoint(place)
        with gr.Column(min_width=320):
            parts |= panels.file()
    return Layout(
        model=model,
        model_said=model_said,
        **parts,
        timer=gr.Timer(GLANCE),
        # It would draw a new secret with every start, and could read nothing any more.
        memory=gr.BrowserState(storage_key=REMEMBERED_AS, secret=REMEMBERED_AS),
        shown=gr.State(),
        seen=gr.JSON(visible=False),
    )
