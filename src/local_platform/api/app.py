"""The local platform: Runpod's queue on loopback, for real workers and unmodified clients."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.middleware.cors import CORSMiddleware
from starlette.exceptions import HTTPException

from local_platform.api import client_routes, front_page, worker_routes
from local_platform.api.answers import Json, Refused
from local_platform.api.guards import PAGES, ApiKey, ThisMachine
from local_platform.queue.endpoint import Endpoint


def build(endpoints: Sequence[Endpoint], workers: int = 1, api_key: str | None = None) -> FastAPI:
    """Return the application.

    Args:
        endpoints: served under `/v2/{id}`; a single one under every id, and at the root.
        workers: how many processes each endpoint has.
        api_key: what clients must send as bearer token; by default anything goes.
    """

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        for endpoint in endpoints:
            endpoint.start(workers)
        yield

    # No pages of FastAPI's own: these run scripts from elsewhere.
    app = FastAPI(openapi_url=None, lifespan=lifespan)
    about = [endpoint.about() for endpoint in endpoints]
    app.include_router(front_page.routes(about, with_key=bool(api_key)))
    for endpoint in endpoints:
        app.include_router(worker_routes.routes(endpoint))
        # A single endpoint answers to every id: there is no other that could be meant.
        served_as = endpoint.id if len(endpoints) > 1 else "{endpoint_id}"
        app.include_router(client_routes.routes(endpoint, f"/v2/{served_as}"))
    if len(endpoints) == 1:
        app.include_router(client_routes.routes(endpoints[0], ""))
    if api_key:
        app.add_middleware(ApiKey, api_key=api_key)
    app.add_middleware(
        CORSMiddleware, allow_origin_regex=PAGES, allow_methods=["*"], allow_headers=["*"]
    )
    app.add_middleware(ThisMachine)  # the last one added is asked first

    @app.exception_handler(Refused)
    async def refused(_: Request, error: Exception) -> Json:
        status = error.status if isinstance(error, Refused) else 500
        return Json({"error": str(error)}, status_code=status)

    @app.exception_handler(HTTPException)
    async def http_error(_: Request, error: Exception) -> Json:
        status = error.status_code if isinstance(error, HTTPException) else 500
        return Json(
            {"error": "There is no such operation; / says which there are."}, status_code=status
        )

    @app.exception_handler(RequestValidationError)
    async def invalid(_: Request, error: Exception) -> Json:
        faults = error.errors() if isinstance(error, RequestValidationError) else []
        names = ", ".join(dict.fromkeys(str(fault["loc"][-1]) for fault in faults))
        return Json({"error": f"{names} must be a whole number."}, status_code=400)

    return app
