"""The picture that a run starts from, as it stands on the page: where it is dropped, seen, and
painted on. `page.js` paints, and writes the mask into its field.
"""

from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any
from urllib.parse import quote

import gradio as gr

from flux_worker.contract.catalog import ServedModel
from playground import form, input_pictures
from playground.input_pictures import InputPicture
from playground.runs import Run

UNSEEN = ["unseen"]
"""In the page, for scripts, but not shown."""
BRUSH = (1, 25, 8)
"""Least, most and default, in hundredths of the picture's longer side."""
HINT = "Paint over what is to be made anew. Without a mask, all of it is."


@dataclass(frozen=True)
class Parts:
    """The components."""

    file: Any
    """Takes a picture; what is in it is gone at once."""
    said: Any
    picture: Any
    """An `InputPicture`, or None."""
    panel: Any
    """What is around the stage."""
    stage: Any
    """Shows the picture, below a canvas for the mask."""
    tools: Any
    """What the mask is painted with."""
    clear: Any
    save: Any
    mask: Any
    """A PNG of black and white as a data: URL, or nothing where nothing is painted."""
    remove: Any


def build() -> Parts:
    """Make the empty place."""
    file = gr.File(
        label="Drop, paste or choose a picture",
        file_types=[".jpg", ".jpeg", ".png", ".webp"],
        elem_id="image_file",
        height=120,
    )
    with gr.Column(visible=False, elem_id="image_panel", min_width=120) as panel:
        stage = gr.HTML(elem_id="stage")
        with gr.Row(visible=False, equal_height=True) as tools:
            least, most, usual = BRUSH
            gr.Slider(
                least,
                most,
                usual,
                step=1,
                label="Brush",
                interactive=True,
                elem_id="brush",
                scale=3,
                min_width=160,
            )
            gr.Checkbox(label="Erase", interactive=True, elem_id="erase", min_width=80)
        with gr.Row():
            clear = gr.Button("Clear the mask", size="sm", min_width=100, elem_id="clear_mask")
            save = gr.Button("Save the mask", size="sm", min_width=100, elem_id="save_mask")
            remove = gr.Button("Remove the picture", size="sm", min_width=100, elem_id="remove")
    return Parts(
        file=file,
        said=gr.HTML(elem_id="image_said"),
        picture=gr.State(delete_callback=input_pictures.discard),
        panel=panel,
        stage=stage,
        tools=tools,
        clear=clear,
        save=save,
        mask=gr.Textbox(label="Mask", elem_id="mask", elem_classes=UNSEEN),
        remove=remove,
    )


def show(parts: Parts, picture: InputPicture | None) -> dict[Any, Any]:
    """Put a picture on the page, with its mask, or take away the one that is there."""
    mask = input_pictures.data_url(picture.mask) if picture and picture.mask else ""
    return {
        parts.picture: picture,
        parts.file: gr.update(value=None, elem_classes=UNSEEN if picture else []),
        parts.stage: _stage(picture, mask) if picture else "",
        parts.mask: mask,
    }


def review(
    parts: Parts, picture: InputPicture | None, model: ServedModel, *, is_painted: bool
) -> dict[Any, Any]:
    """Show what can be done with the picture by this model."""
    takes_mask = picture is not None and form.takes_mask(model)
    is_needed = "text-to-image" not in model.tasks
    label = "Drop, paste or choose a picture"
    return {
        parts.file: gr.update(label=f"{label} to edit" if is_needed else label),
        parts.panel: gr.update(
            visible=picture is not None, elem_classes=[] if takes_mask else ["plain"]
        ),
        parts.tools: gr.update(visible=takes_mask),
        parts.clear: gr.update(visible=takes_mask, interactive=is_painted),
        parts.save: gr.update(visible=takes_mask, interactive=is_painted),
    }


def address(file: Path) -> str:
    """Return where the page finds a file of the playground's folder."""
    return escape(f"gradio_api/file={quote(str(file))}")


def comparison(run: Run) -> str:
    """Lay a result over the picture that it was made of, as that was fitted to it."""
    before, after = run.begins_with, run.picture
    if not before or not after:
        return ""
    fit = "cover" if run.request.begins_with_picture else "contain"
    return (
        f'<div class="compared"><img class="before {fit}" src="{address(before.file)}" '
        f'alt="Before"><img class="after" src="{address(after)}" alt="After"></div>'
        '<input class="compare-at" type="range" value="50" aria-label="Before and after">'
    )


def _stage(picture: InputPicture, mask: str) -> str:
    painted = f'<img class="painted" src="{mask}" alt="" hidden>' if mask else ""
    return (
        '<div class="sheet" style="width: '
        f'min(100%, calc(32rem * {picture.width} / {picture.height}))">'
        f'<img src="{address(picture.file)}" alt="The input picture">'
        f'<canvas width="{picture.width}" height="{picture.height}" '
        f'role="img" aria-label="The mask, painted with a pointer"></canvas>{painted}</div>'
        f'<p class="hint">{HINT}</p>'
    )
