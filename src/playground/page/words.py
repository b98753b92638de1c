"""What is said of a run, in HTML. Whatever others wrote is text in it, never markup."""

import json
import re
import time
from html import escape
from typing import Any

from playground import estimate
from playground.runs import Run, State, number

SHORT = 200
"""Letters of a text that are shown among the raw JSON; a `data:` URL has millions."""
LONGEST = 100_000
"""Letters of raw JSON that are shown: a browser stands still over millions."""
JPEG_INSIDE = re.compile(r"data:image/jpeg;base64,[A-Za-z0-9+/=]+")


def state(run: Run | None) -> str:
    """Say how a run stands, with the picture as far as it has grown."""
    if run is None:
        return "<p>A picture appears here after <b>Run</b>. Several runs may wait at once.</p>"
    sentence = _sentence(run)
    trouble = problem(run.problem or "")
    if run.is_final:
        return f'<p role="status">{sentence}</p>{trouble}{_facts(run)}'
    return f"<p>{sentence}</p>{trouble}{_bar(run)}{_preview(run)}"


def raw(run: Run) -> str:
    """Write what the endpoint told last; long texts are cut."""
    try:
        told = json.dumps(_cut(run.body), indent=2, ensure_ascii=False)
    except RecursionError:
        return "The answer is nested too deeply to be shown."
    return told if len(told) <= LONGEST else f"{told[:LONGEST]}… ({len(told):,} letters)"


def label(run: Run) -> str:
    """Name a run in a line of text."""
    return f"{run.state}: {caption(run)}"


def caption(run: Run) -> str:
    """Name a picture in a few words."""
    how = made(run)
    return f"{_short(run.request.prompt)} ({how})" if how else _short(run.request.prompt)


def made(run: Run) -> str:
    """Say how a run makes something of a picture, if it does."""
    request = run.request
    if request.image is None:
        return ""
    how = request.task.replace("-", " ")
    return how if request.strength is None else f"{how}, strength {request.strength:g}"


def problem(sentence: str) -> str:
    """Write a sentence about what is wrong."""
    return f'<p class="problem" role="alert">{escape(sentence)}</p>' if sentence else ""


def note(sentence: str) -> str:
    """Write a sentence beside something else."""
    return f"<p>{escape(sentence)}</p>"


def _sentence(run: Run) -> str:
    output = run.output
    match run.state:
        case State.SENDING:
            return "Sending …"
        case State.WAITING:
            return f"In the queue for {time.time() - run.created:.0f} s."
        case State.DRAWING if isinstance(step := output.get("step"), int):
            left = number(output.get("eta_seconds"))
            rest = "" if left is None else f", {left:.0f} seconds left"
            return f"Step {step} of {escape(str(output.get('steps')))}{rest}."
        case State.DRAWING:
            return "A worker has it."
        case State.CANCELLED:
            return "Cancelled."
        case State.FAILED:
            return "No picture."
        case State.DONE if run.picture:
            return "Done."
        case State.DONE:
            return "The picture is made." if run.problem else "Fetching the picture …"


def _facts(run: Run) -> str:
    facts = {
        "Cost": None if run.cost is None else estimate.dollars(run.cost),
        "Seed": str(run.request.seed) if run.state is State.DONE else None,
        "Made by": made(run).capitalize(),
        "LoRAs": ", ".join(f"{_short(each.path)} × {each.scale:g}" for each in run.request.loras),
        "In the queue": _seconds(run.seconds("delayTime")),
        "At work": _seconds(run.seconds("executionTime")),
    }
    rows = (
        f"<div><dt>{name}</dt><dd>{escape(value)}</dd></div>"
        for name, value in facts.items()
        if value
    )
    return f'<dl class="facts">{"".join(rows)}</dl>{_other_price(run)}'


def _short(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= 60 else f"{line[:59]}…"


def _other_price(run: Run) -> str:
    if run.cost is None or estimate.dollars(run.cost) == estimate.dollars(run.estimate):
        return ""
    return note(
        f"{estimate.dollars(run.estimate)} was estimated: this endpoint has a price of its own. "
        "Under Endpoint there is a field for it."
    )


def _seconds(seconds: float | None) -> str | None:
    return None if seconds is None else f"{seconds:.1f} s"


def _bar(run: Run) -> str:
    percent = number(run.output.get("percent"))
    value = "" if percent is None else f' value="{percent:g}"'
    return f'<progress max="100"{value} aria-label="Progress"></progress>'


def _preview(run: Run) -> str:
    preview = run.output.get("preview")
    if not isinstance(preview, str) or not JPEG_INSIDE.fullmatch(preview):
        return ""
    return f'<img class="preview" src="{preview}" alt="The picture so far">'


def _cut(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _cut(each) for name, each in value.items()}
    if isinstance(value, list):
        return [_cut(each) for each in value]
    if isinstance(value, str) and len(value) > SHORT and value.startswith("data:"):
        return f"{value[:60]}… ({len(value):,} letters)"
    return value
