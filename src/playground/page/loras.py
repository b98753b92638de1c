"""The rows of LoRAs: what they hold, and which of them are shown."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import gradio as gr

from flux_worker.contract.loras import MAX_LORAS, SCALE

Entry = Mapping[str, Any]
"""A LoRA as requests have it: its `path` and its `scale`."""
BLANK: Entry = {"path": None, "scale": SCALE.default}
HINTS = {
    "path": "File, https URL or owner/name",
    "scale": f"{SCALE.low:g} to {SCALE.high:g}",
}
STEP = 0.1


@dataclass(frozen=True)
class Row:
    """The components of one."""

    whole: Any
    fields: dict[str, Any]
    """By the names that an entry has."""
    remove: Any


def build() -> list[Row]:
    """Make as many as a request can have; the first is shown."""
    return [_row(number) for number in range(MAX_LORAS)]


def typed(rows: Sequence[Row], data: Mapping[Any, Any]) -> list[Entry]:
    """Return what is in each row, blank ones included."""
    return [{name: data[field] for name, field in row.fields.items()} for row in rows]


def fill(rows: Sequence[Row], entries: Iterable[Entry]) -> dict[Any, Any]:
    """Set the rows to these, and those that are left to nothing."""
    padded = [*entries, *[BLANK] * len(rows)]
    return {
        field: entry[name]
        for row, entry in zip(rows, padded, strict=False)
        for name, field in row.fields.items()
    }


def remove(rows: Sequence[Row], number: int, data: Mapping[Any, Any]) -> dict[Any, Any]:
    """Take a row out; those below it move up."""
    entries = typed(rows, data)
    return fill(rows, entries[:number] + entries[number + 1 :])


def review(
    rows: Sequence[Row], data: Mapping[Any, Any], faults: Mapping[str, str]
) -> dict[Any, Any]:
    """Say beside each field what is wrong with it, and keep a blank row below the last."""
    filled = [number for number, row in enumerate(rows) if data[row.fields["path"]]]
    last = max(filled, default=-1)
    updates = {row.whole: gr.update(visible=number <= last + 1) for number, row in enumerate(rows)}
    for number, row in enumerate(rows[: last + 2]):
        updates[row.remove] = gr.update(visible=number <= last)
        for name, field in row.fields.items():
            fault = faults.get(f"loras[{number}].{name}")
            updates[field] = gr.update(
                info=fault or HINTS[name], elem_classes=["invalid"] if fault else []
            )
    return updates


def offer(rows: Sequence[Row], files: Sequence[str]) -> dict[Any, Any]:
    """Let paths be picked from these; any other can be typed."""
    return {row.fields["path"]: gr.update(choices=files) for row in rows}


def _row(number: int) -> Row:
    with gr.Row(visible=number == 0) as whole:
        path = gr.Dropdown(
            [],
            value=BLANK["path"],
            allow_custom_value=True,
            label=f"LoRA {number + 1}",
            info=HINTS["path"],
            elem_id=f"lora_{number}",
            scale=4,
            min_width=160,
        )
        scale = gr.Number(
            BLANK["scale"],
            label=f"Scale {number + 1}",
            info=HINTS["scale"],
            step=STEP,
            elem_id=f"lora_scale_{number}",
            min_width=80,
        )
        button = gr.Button(
            f"Remove {number + 1}",
            size="sm",
            min_width=90,
            scale=0,
            visible=False,
            elem_id=f"lora_remove_{number}",
        )
    return Row(whole, {"path": path, "scale": scale}, button)
