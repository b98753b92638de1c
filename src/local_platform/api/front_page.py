"""What is found at the front door: which endpoints there are, and how to ask them.

A browser finds a page, a program that accepts JSON a list.
"""

import shlex
from collections.abc import Sequence
from html import escape
from urllib.parse import quote

from fastapi import APIRouter, Request
from starlette.responses import HTMLResponse, Response

from local_platform.api.answers import Json
from local_platform.api.guards import FRONT
from local_platform.processes.ports import PLAYGROUND

TRY = '{"input": {"prompt": "a red square on a white background"}}'
NOTHING_ELSE = {"Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'"}
"""The page loads and runs nothing."""

PAGE = """<!DOCTYPE html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>Runpod's queue on this machine</title>
<style>
body {{ font: 16px/1.5 system-ui, sans-serif; max-width: 50rem; margin: auto; padding: 2rem }}
pre {{ background: #f2f2f2; padding: 1rem; overflow-x: auto }}
pre, code {{ font-family: ui-monospace, monospace; font-size: 14px; color: #111 }}
code {{ background: #f2f2f2 }}
</style>
<h1>Runpod's queue on this machine</h1>
<p>Clients of Runpod's public endpoints change the host and nothing else. {key}</p>
{endpoints}
<h2>Playground</h2>
<p><code>make playground</code> serves a page on which to try all of it, at
<a href="{playground}">{playground}</a>.</p>
<h2>Operations</h2>
<p>Below an endpoint's URL: <code>POST /run</code>, <code>/runsync</code>,
<code>/cancel/{{id}}</code>, <code>/retry/{{id}}</code>, <code>/purge-queue</code>;
<code>GET /status/{{id}}</code>, <code>/status-sync/{{id}}</code>, <code>/stream/{{id}}</code>,
<code>/health</code>.</p>
<h2>Documentation</h2>
<p>In this project's folder: <code>docs/platform.md</code> for what this server does and which
clients it knows, <code>docs/api.md</code> for what a job's input may hold. Runpod's own pages:
<a href="https://docs.runpod.io/serverless/endpoints/operations">operations of an endpoint</a>.</p>
</html>
"""
KEY = "They must send the <code>LOCAL_API_KEY</code> that this server was started with."
ENDPOINT = """<h2>{name}</h2>
<p><code>{url}</code>{health}</p>
<pre>{curl}</pre>
"""


def routes(endpoints: Sequence[dict[str, str | None]], with_key: bool) -> APIRouter:
    """Return the page's route.

    Args:
        endpoints: what each says about itself; it is served under `/v2/{id}`.
        with_key: whether clients must send a key.
    """
    router = APIRouter()

    @router.get(FRONT)
    async def front_page(request: Request) -> Response:
        if "application/json" in request.headers.get("Accept", ""):
            return Json({"endpoints": endpoints})
        ids = [str(each["id"]) for each in endpoints]
        urls = {each: f"{request.base_url}v2/{quote(each)}" for each in ids}
        sections = (_section(name, url, with_key) for name, url in urls.items())
        page = PAGE.format(
            key=KEY if with_key else "",
            endpoints="".join(sections),
            playground=f"http://127.0.0.1:{PLAYGROUND}",
        )
        return HTMLResponse(page, headers=NOTHING_ELSE)

    return router


def _section(name: str, url: str, with_key: bool) -> str:
    # A browser sends no key when a link is followed.
    health = "" if with_key else f', <a href="{escape(url)}/health">health</a>'
    curl = escape(_curl(f"{url}/runsync", with_key))
    return ENDPOINT.format(name=escape(name), url=escape(url), health=health, curl=curl)


def _curl(url: str, with_key: bool) -> str:
    key = '-H "Authorization: Bearer $LOCAL_API_KEY" \\\n  ' if with_key else ""
    return (
        f"curl -X POST {shlex.quote(url)} \\\n  {key}"
        f"-H 'Content-Type: application/json' \\\n  -d {shlex.quote(TRY)}"
    )
