"""The parts of the page."""

from typing import Any

import gradio as gr

from flux_worker.contract import formats
from flux_worker.contract.catalog import DEV, Bounds, ServedModel
from flux_worker.contract.sizes import MULTIPLE, SIDES
from playground import form
from playground.page import image, loras
from playground.places import RUNPOD, Place
from playground.snippets.languages import SNIPPETS

DEMO = "The demo model draws here, on a CPU: it knows coloured shapes alone."
DEMO_PROMPTS = (
    "a red circle on a white background",
    "a yellow star on a blue background",
    "a large pink heart on a black background",
)
"""What the demo model knows: shapes and colours."""
PROMPTS = (
    "A serene mountain landscape at sunset",
    "A futuristic cityscape with flying cars",
    "A fox reading a newspaper in a café, 35 mm photograph",
)
DEMO_EDITS = ("make it blue", "make it yellow", "make the background black")
EDITS = (
    "Make it a rainy night",
    "Turn it into a watercolour painting",
    "Give the fox a red scarf and leave the rest as it is",
)
PREVIEW, COMPARISON, RAW_JSON = "Preview", "Before and after", "Raw JSON"
STRENGTH = "0 leaves the picture as it is, 1 keeps nothing of it"
OPERATIONS = [("/run", "run"), ("/runsync", "runsync")]
BUTTONS = {
    "cancel": "Cancel",
    "use_seed": "Use this seed",
    "use_parameters": "Use these parameters",
    "use_image": "Use as input picture",
    "ask_again": "Ask again",
    "forget": "Remove",
}

Parts = dict[str, Any]
"""Components, by their names in `Layout`."""


def examples(model: ServedModel, is_demo: bool) -> tuple[str, ...]:
    """Return prompts to try."""
    if "text-to-image" in model.tasks:
        return DEMO_PROMPTS if is_demo else PROMPTS
    return DEMO_EDITS if is_demo else EDITS


def hint(name: str, model: ServedModel, has_picture: bool = False) -> str:
    """Say what a field may hold."""
    begins_with_picture = has_picture and model.parameters.strength is not None
    bounds = getattr(model.parameters, name, None)
    if name == "seed":
        return "-1 draws a new one for every run"
    if name == "strength":
        return STRENGTH
    if not isinstance(bounds, Bounds):
        return ""
    limits = f"{bounds.low:g}–{bounds.high:g}"
    if name in SIDES and begins_with_picture:
        return f"{limits}; empty: the picture's"
    return f"{limits}, for the negative prompt" if name == "true_cfg_scale" else limits


def inputs(model: ServedModel) -> Parts:
    """Make the form, with a model's limits and defaults."""
    defaults = model.parameters.defaults()
    fields: Parts = {}

    def text(name: str, label: str, **options: Any) -> None:
        value = str(defaults.get(name, ""))
        fields[name] = gr.Textbox(value, label=label, elem_id=name, **options)

    def number(name: str, label: str, step: float) -> None:
        options = {"info": hint(name, model), "step": step, "min_width": 120, "elem_id": name}
        fields[name] = gr.Number(defaults[name], label=label, **options)

    text("prompt", "Prompt", lines=3, placeholder="What the picture shows")
    with gr.Row():
        examples = [gr.Button("", size="sm", min_width=120) for _ in PROMPTS]
    with gr.Accordion("Input picture", open=True, elem_id="input_picture"):
        picture = image.build()
        # A model without it never shows it.
        strength = model.parameters.strength or DEV.parameters.strength or Bounds(0.0, 1.0, 0.8)
        fields["strength"] = gr.Slider(
            *(strength.low, strength.high, strength.default),
            step=0.05,
            label="Strength",
            info=STRENGTH,
            visible=False,
            elem_id="strength",
        )
    text("negative_prompt", "Negative prompt", placeholder="What to keep out; takes twice as long")
    fields["image_format"] = gr.Radio(
        list(formats.FORMATS),
        value=defaults["image_format"],
        label="Image format",
        elem_id="image_format",
    )
    with gr.Accordion("Additional settings", open=True):
        with gr.Row():
            ratios = {each: gr.Button(each, size="sm", min_width=48) for each in form.ASPECT_RATIOS}
        with gr.Row():
            number("width", "Width", MULTIPLE)
            number("height", "Height", MULTIPLE)
        with gr.Row():
            number("num_inference_steps", "Steps", 1)
            number("guidance", "Guidance", 0.5)
            number("true_cfg_scale", "True CFG scale", 0.5)
        with gr.Row():
            text("seed", "Seed", info=hint("seed", model), scale=3)
            dice = gr.Button("⚄ New seed", size="sm", min_width=80, elem_id="dice")
    with gr.Accordion("LoRAs", open=True):
        rows = loras.build()
    return {
        "fields": fields,
        "examples": examples,
        "ratios": ratios,
        "dice": dice,
        "loras": rows,
        "image": picture,
        "cost": gr.HTML(elem_id="cost"),
        "run": gr.Button("Run  (Ctrl+Enter)", variant="primary", elem_id="run"),
        "said": gr.HTML(elem_id="said"),
    }


def api() -> Parts:
    """Make the place for the code."""
    titles = list(SNIPPETS)
    with gr.Row():
        language = gr.Dropdown(titles, value=titles[0], label="Language", elem_id="language")
        operation = gr.Dropdown(
            OPERATIONS, value="runsync", label="Operation", elem_id="operation", min_width=120
        )
    return {
        "language": language,
        "operation": operation,
        "everything": gr.Checkbox(label="Include the defaults", elem_id="everything"),
        "code": gr.Code(label="Code", interactive=False, elem_id="code", wrap_lines=True),
    }


def endpoint(place: Place) -> Parts:
    """Make the fields that say where jobs go."""
    secret = gr.InputHTMLAttributes(autocomplete="off", spellcheck=False)
    return {
        "base_url": gr.Textbox(
            place.base_url, label="Base URL", info=f"Runpod's is {RUNPOD}", elem_id="base_url"
        ),
        "endpoint_id": gr.Textbox(place.endpoint_id, label="Endpoint id", elem_id="endpoint_id"),
        "key": gr.Textbox(
            "",
            label="API key",
            type="password",
            info="Goes to this endpoint alone: forgotten with this page, or for another base URL",
            elem_id="key",
            html_attributes=secret,
        ),
        "price": gr.Textbox(
            "",
            label="Price of a megapixel",
            info="In US dollars; empty: the model's",
            elem_id="price",
        ),
    }


def file() -> Parts:
    """Make the place for a picture whose parameters are wanted."""
    return {
        "file": gr.File(
            label="Load the parameters of a picture",
            file_types=[".jpg", ".jpeg", ".png"],
            elem_id="file",
            height=140,
        ),
        "file_said": gr.HTML(elem_id="file_said"),
    }


def result() -> Parts:
    """Make the right half: the run that is shown, and the others."""
    hidden: Any = {"visible": False, "interactive": False}
    show = gr.Dropdown(
        [PREVIEW, COMPARISON, RAW_JSON], value=PREVIEW, label="Result", elem_id="show"
    )
    state = gr.HTML(elem_id="state")
    picture = gr.Image(
        type="filepath", show_label=False, elem_id="picture", buttons=["fullscreen"], **hidden
    )
    comparison = gr.HTML(visible=False, elem_id="comparison")
    raw = gr.Code(language="json", label="Raw JSON", elem_id="raw", wrap_lines=True, **hidden)
    with gr.Row():
        download = gr.DownloadButton(
            "Download", size="sm", min_width=100, visible=False, elem_id="download"
        )
        buttons = {
            name: gr.Button(label, size="sm", min_width=100, visible=False, elem_id=name)
            for name, label in BUTTONS.items()
        }
    under_way = gr.Radio(label="Runs without a picture", visible=False, elem_id="under_way")
    gallery = gr.Gallery(
        label="Gallery",
        columns=4,
        fit_columns=False,
        height="max-content",
        allow_preview=False,
        buttons=[],
        elem_id="gallery",
        **hidden,
    )
    return {
        "show": show,
        "state": state,
        "picture": picture,
        "comparison": comparison,
        "raw": raw,
        "download": download,
        **buttons,
        "under_way": under_way,
        "gallery": gallery,
    }
