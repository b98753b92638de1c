"""FLUX.1 at its full size on this card, with random weights: plain diffusers, and quicker ways.

    python -m benchmarks.gpu [--price 0.00116] [--model dev] [--sides 512,1024,1536]

Needs no weights and no token, and ends within minutes with a table to paste. Each row runs on its
own weights, which are the same in all of them; the worker's are planned as at a cold start. A step
is the median over denoising steps after a warm-up, by CUDA events; so is a decoding. An image is
what comes before the first step, such as the modulation of all, as many steps as the model takes by
default, and one decoding; the texts aren't encoded, and the peak is without the text encoders. The
limit is the arithmetic of the steps alone, at the rate that large matrix products in bfloat16 keep
up for seconds on the same card. The difference is that of the transformer's output in the first
step, relative to plain diffusers'. Compilation is what the first step takes longer; a later row
finds kernels that an earlier one had in common with it. The attention's kernel is the one that the
profiler saw.
"""

import argparse
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

import diffusers.utils.logging
import torch
import transformers.utils.logging

from benchmarks import full_size
from benchmarks.clock import versions
from benchmarks.rows import PLAIN, ROWS, Bench, Failed, Measured, Row
from benchmarks.table import markdown
from flux_worker.engine.plan import Plan

MODELS = {"dev": full_size.DEV, "schnell": full_size.SCHNELL, "tiny": full_size.TINY}
HEADS = (
    *("side: row", "step, ms", "decoding, ms", "image, s", "× plain", "limit, s", "of limit"),
    *("peak, GiB", "compilation, s", "difference", "attention"),
)


def main() -> None:
    """Measure, print a table, and write it with its numbers as JSON where asked to."""
    options = parse()
    diffusers.utils.logging.set_verbosity_error()
    transformers.utils.logging.set_verbosity_error()
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    dtype = torch.bfloat16 if device.type == "cuda" else torch.float32
    bench = Bench(MODELS[options.model], device, dtype, options.runs)
    measured = [result for row in options.rows for result in bench.measure(row, options.sides)]
    title = f"{options.model}, {versions(device)}, {bench.rates}, {options.runs} runs"
    text = f"{title}\n\n{report(measured, options.price)}\n\n{notes(measured, bench.plans)}\n"
    print(f"\n{text}")
    if options.out:
        options.out.mkdir(parents=True, exist_ok=True)
        name = f"{options.model}-{versions(device).split(',')[0].replace(' ', '-')}"
        (options.out / f"{name}.md").write_text(text)
        rows_as_json = {"title": title, "rows": [asdict(result) for result in measured]}
        (options.out / f"{name}.json").write_text(json.dumps(rows_as_json, indent=2) + "\n")


def report(measured: Sequence[Measured | Failed], price: float | None = None) -> str:
    """Write the table; with what an image costs at a price in $ a second."""
    plain = {
        each.side: each.image
        for each in measured
        if isinstance(each, Measured) and each.row == PLAIN.name
    }
    heads = HEADS if price is None else (*HEADS, "$ an image")
    rows = []
    for result in sorted(measured, key=lambda each: each.side):
        name = f"{result.side}: {result.row}"
        if isinstance(result, Failed):
            rows.append((name, *["–"] * (len(heads) - 1)))
            continue
        cells = (
            f"{result.step * 1e3:.1f}",
            f"{result.decoding * 1e3:.1f}",
            f"{result.image:.2f}",
            f"{plain[result.side] / result.image:.2f}" if result.side in plain else "–",
            f"{result.limit:.2f}",
            f"{result.limit / result.image:.0%}",
            f"{result.peak / 2**30:.1f}",
            f"{result.compilation:.1f}",
            "–" if result.difference is None else f"{result.difference:.1e}",
            result.attention,
        )
        cost = () if price is None else (f"{result.image * price:.5f}",)
        rows.append((name, *cells, *cost))
    return markdown(heads, rows)


def notes(measured: Sequence[Measured | Failed], plans: Mapping[str, Plan]) -> str:
    """List how the worker's rows were run, and why others were not."""
    failed = [each for each in measured if isinstance(each, Failed)]
    lines = [f"- {name}: {plan}" for name, plan in plans.items()]
    lines += [f"- {each.row} at {each.side}: {each.reason}" for each in failed]
    return "\n".join(lines)


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Read the options, from the command line by default."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--price", type=float, help="of the card, $ a second")
    parser.add_argument("--model", choices=MODELS, default="dev")
    parser.add_argument("--sides", type=_sides, default=[1024], help="pixels, such as 512,1024")
    parser.add_argument("--rows", type=_rows, default=ROWS, help="names, separated by commas")
    parser.add_argument("--runs", type=int, default=10)
    parser.add_argument("--out", type=Path, help="folder for the table and its numbers as JSON")
    return parser.parse_args(arguments)


def _sides(given: str) -> list[int]:
    return [int(side) for side in given.split(",")]


def _rows(given: str) -> list[Row]:
    wanted = {name.strip() for name in given.split(",")}
    if unknown := wanted - {row.name for row in ROWS}:
        raise argparse.ArgumentTypeError(
            f"there is no row {', '.join(sorted(unknown))}; choose from "
            f"{', '.join(row.name for row in ROWS)}"
        )
    return [row for row in ROWS if row is PLAIN or row.name in wanted]


if __name__ == "__main__":
    main()
