"""The commands and their flags."""

import argparse
import re
from pathlib import Path
from typing import Any

from builder.deploy.wanted import Wanted
from flux_worker.contract.catalog import MODELS

DEFAULT_FILE = Path("endpoint.toml")
ENDPOINT_ID = re.compile(r"[A-Za-z0-9_-]{1,100}")
A_WEEK = 604_800
"""Seconds: the longest that a signed URL is valid, and a job may take."""


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m builder.deploy",
        description="Creates, changes and checks an endpoint at Runpod. The API key is read from "
        "RUNPOD_API_KEY, and the address of another REST API than Runpod's from RUNPOD_API_URL.",
    )
    commands = parser.add_subparsers(dest="command", required=True)
    for name, what in (
        ("plan", "shows what create or update would do, and changes nothing"),
        ("create", "creates an endpoint, after asking"),
        ("update", "changes an endpoint in what the file and the flags name, after asking"),
    ):
        _add_endpoint(commands.add_parser(name, help=what, description=what))
    what = "sends requests to an endpoint and checks the whole contract"
    _add_verify(commands.add_parser("verify", help=what, description=what))
    return parser.parse_args(arguments)


def flags(options: argparse.Namespace) -> dict[str, Any]:
    """Return the endpoint's fields as the flags have them, None where they aren't given."""
    return {
        **{field: getattr(options, field, None) for field in Wanted.model_fields},
        "pools": None if options.pools is None else _listed(options.pools),
        "env": dict(options.env),
        "secrets": dict(options.secret),
    }


def _listed(text: str) -> list[str]:
    return [each.strip() for each in text.split(",") if each.strip()]


def _endpoint_id(text: str) -> str:
    """An id goes into a path, and none at all would mean the endpoint of the name."""
    if not ENDPOINT_ID.fullmatch(text):
        raise argparse.ArgumentTypeError("must be an id, as the endpoint's page shows it")
    return text


def _seconds(text: str) -> float:
    seconds = float(text)
    if not 0 < seconds <= A_WEEK:
        raise argparse.ArgumentTypeError(f"must be more than 0 and at most {A_WEEK}")
    return seconds


def _whole_seconds(text: str) -> int:
    return int(_seconds(str(int(text))))


def _dollars(text: str) -> float:
    dollars = float(text)
    if not dollars >= 0:
        raise argparse.ArgumentTypeError("must be 0 or more")
    return dollars


def _pair(text: str) -> tuple[str, str]:
    name, separator, value = text.partition("=")
    if not separator or not name:
        raise argparse.ArgumentTypeError("must be NAME=VALUE")
    return name, value


def _add_endpoint(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("--file", type=Path, help=f"by default {DEFAULT_FILE}, if it is there; flags win over it")
    add(
        "--endpoint",
        type=_endpoint_id,
        metavar="ID",
        help="the endpoint to change, by default the one of the name",
    )
    add("--yes", action="store_true", help="don't ask")
    add("--name")
    add("--image", help="the container's image, such as you/flux-worker:1.0")
    add("--model", help=", ".join(MODELS))
    add("--pools", metavar="A,B,C", help="up to three, the best first")
    add("--workers-min", type=int, metavar="N")
    add("--workers-max", type=int, metavar="N")
    add("--idle-timeout", type=int, metavar="SECONDS")
    add("--execution-timeout", type=int, metavar="SECONDS")
    add("--flashboot", choices=("off", "on", "priority"))
    add("--cached-model", metavar="OWNER/NAME[:REVISION]", help="or none")
    add("--disk", type=int, metavar="GB")
    add("--cuda", metavar="VERSION", help="the lowest that a host may have")
    add("--env", type=_pair, action="append", default=[], metavar="NAME=VALUE",
        help="a variable of the worker")  # fmt: skip
    add("--secret", type=_pair, action="append", default=[], metavar="NAME=SECRET",
        help="a variable of the worker, and the Runpod secret with its value")  # fmt: skip


def _add_verify(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("endpoint", help="its URL, or its id at Runpod")
    add("--model", choices=MODELS, help="by default as the URL tells, else dev")
    add("--steps", type=int, help="fewer than the model's default, to be quicker")
    add("--price", default="", help="dollars a megapixel, where PRICE_PER_MEGAPIXEL is set")
    add("--images", choices=("signed", "public", "data"), default="signed",
        help="where images are: behind signed URLs, at a public address (BUCKET_PUBLIC_URL), or in "
        "the answer, where no bucket is set")  # fmt: skip
    add(
        "--url-ttl",
        type=_whole_seconds,
        metavar="SECONDS",
        help="URL_TTL_SECONDS, by default seven days",
    )
    add(
        "--wait",
        type=_seconds,
        default=1800,
        metavar="SECONDS",
        help="for one job, cold start included",
    )
    add("--limit", type=_dollars, default=0.5, metavar="DOLLARS", help="above it, ask first")
    add("--yes", action="store_true", help="don't ask")
