"""Serves the page, to this machine's browsers unless told otherwise, and from nowhere else."""

from collections.abc import Awaitable, Callable
from pathlib import Path

import gradio as gr
from fastapi import FastAPI
from starlette.requests import Request
from starlette.responses import Response

from local_platform.api.guards import ThisMachine
from playground import input_pictures
from playground.local_endpoints import Served
from playground.page import build
from playground.places import Place
from playground.sessions import Sessions

OWN = "'self' 'unsafe-inline' 'unsafe-eval' data: blob:"
HEADERS = {
    "Content-Security-Policy": f"default-src {OWN}; frame-ancestors 'none'; form-action 'self'",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}
"""The browser itself sees to it that the page asks nothing of anybody else. Gradio's scripts are
inline, and make functions out of text."""
THEME = gr.themes.Base(
    font=["system-ui", "sans-serif"], font_mono=["ui-monospace", "monospace"]
).set(
    color_accent="*primary_600",
    color_accent_soft="*primary_100",
    button_primary_background_fill="*primary_600",
    button_primary_background_fill_hover="*primary_700",
    body_text_color_subdued="*neutral_600",
    body_text_color_subdued_dark="*neutral_300",
    block_info_text_color="*neutral_600",
    block_info_text_color_dark="*neutral_300",
    block_label_text_color="*neutral_700",
    block_label_text_color_dark="*neutral_200",
    block_title_text_color="*neutral_700",
    block_title_text_color_dark="*neutral_200",
    input_placeholder_color="*neutral_500",
    input_placeholder_color_dark="*neutral_400",
)
"""Of this machine's fonts, and with contrasts that can be read."""
PAGE = Path(build.__file__).parent


def app(place: Place, served: list[Served], folder: Path, *, for_all: bool) -> FastAPI:
    """Return the application.

    Args:
        place: the endpoint that is asked at first.
        served: the endpoints whose model and price are known.
        folder: where pictures are saved.
        for_all: whether other machines' browsers may come. Then endpoints that they type must be
            at public addresses.
    """
    known = {place.url, *(each.place.url for each in served)}

    def trusts(url: str) -> bool:
        return not for_all or url in known

    application = FastAPI(openapi_url=None)
    gr.mount_gradio_app(
        application,
        build.build(place, served, Sessions(folder, trusts), trusts, folder),
        path="/",
        footer_links=[],
        run_history=False,
        allowed_paths=[str(folder)],
        max_file_size=input_pictures.LARGEST_UPLOAD,
        ssr_mode=False,
        mcp_server=False,
        enable_monitoring=False,
        theme=THEME,
        css_paths=PAGE / "page.css",
        js=(PAGE / "page.js").read_text(),
    )
    if not for_all:
        application.add_middleware(ThisMachine)

    @application.middleware("http")
    async def with_headers(
        request: Request, answer: Callable[[Request], Awaitable[Response]]
    ) -> Response:
        response = await answer(request)
        response.headers.update(HEADERS)
        return response

    return application
