"""The API process: `python -m api`. HTTP only; what it does, verbs in `models` do."""

import gc
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import uvicorn
from fastapi import FastAPI
from starlette.requests import Request
from starlette.responses import Response

from api import catalogue, credits, files, hooks, jobs, notifications, problems, provider_keys, schemas, webhooks
from api.auth import KeyRing
from api.grouping import Grouper
from api.intake import Intake
from api.lean import answer
from api.limits import Limits
from models import db
from models.db import transaction
from models.errors import Unavailable
from models.settings import settings
from workers import enqueue

PROBLEMS: dict[int | str, dict[str, Any]] = {
    status: {"model": schemas.Problem, "description": text}
    for status, text in {
        400: "The request is not valid.",
        401: "A valid API key is needed.",
        402: "Not enough credits: `needed` and `available` say how many.",
        403: "The account's storage is full.",
        404: "There is nothing here, or it is somebody else's.",
        413: "The body is too large.",
        414: "The address is too long.",
        422: "The input does not fit: `param` names the field.",
        503: "Try again soon.",
    }.items()
}


@asynccontextmanager
async def _lifespan(app: FastAPI) -> AsyncIterator[None]:
    app.state.keys = KeyRing()
    app.state.intake = Intake()
    app.state.reads = Grouper(jobs.read_group, name="reads")
    app.state.catalogue = catalogue.Catalogue()
    app.state.catalogue.load()
    app.state.catalogue.start()
    # What is there now stays for ever: keep the collector from walking it at each full collection (p99 54 to 15 ms).
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 100)
    yield
    await app.state.catalogue.stop()
    app.state.intake.close()
    app.state.reads.close()
    app.state.keys.close()
    enqueue.close()
    db.close()


def make_app() -> FastAPI:
    """The application. Settings are read when it starts."""
    app = FastAPI(
        title="Headrace",
        version="0.1.0",
        description="Order generated images, video and speech; pay with credits; fetch the results.",
        lifespan=_lifespan,
        responses=PROBLEMS,
        separate_input_output_schemas=False,
    )
    app.include_router(jobs.lean_router)
    app.include_router(jobs.router)
    app.include_router(catalogue.lean_router)
    app.include_router(catalogue.router)
    app.include_router(credits.router)
    app.include_router(files.router)
    app.include_router(provider_keys.router)
    app.include_router(webhooks.router)
    app.include_router(notifications.router)
    app.include_router(hooks.router)
    app.get("/healthz", tags=["health"], summary="Is this process alive")(_alive)
    app.get("/readyz", tags=["health"], summary="Can this process serve")(_ready)
    problems.install(app)
    app.add_middleware(Limits)
    _document(app)
    return app


async def _alive() -> dict[str, str]:
    """Answers as long as the event loop runs."""
    return {"status": "ok"}


def _ready(request: Request) -> Response:
    """Answers 200 when the database answers and the catalogue is loaded; Redis may be away."""
    with transaction() as conn:
        conn.execute("select 1")
    if not request.app.state.catalogue.all():
        raise Unavailable("the catalogue is empty: run `headrace migrate`")
    return answer({"status": "ok"})


def _document(app: FastAPI) -> None:
    """Say in the OpenAPI document what FastAPI cannot know: the security scheme and an example job."""
    build = app.openapi

    def openapi() -> dict[str, Any]:
        if app.openapi_schema:
            return app.openapi_schema
        document = build()
        components = document["components"]
        components["securitySchemes"] = {"key": {"type": "http", "scheme": "bearer", "description": "An API key."}}
        components["schemas"]["Job"]["example"] = jobs.examples()
        for path, methods in document["paths"].items():
            for operation in methods.values():
                if path.startswith(
                    ("/v1/jobs", "/v1/quotes", "/v1/credits", "/v1/provider-keys", "/v1/webhooks", "/v1/notifications")
                ):
                    operation["security"] = [{"key": []}]
        return document

    app.openapi = openapi  # type: ignore[method-assign]  # FastAPI documents this way of extending its document


def main() -> None:
    """Serve until SIGTERM or SIGINT."""
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(name)s %(message)s")
    uvicorn.run(
        make_app(), host=settings().api_host, port=settings().api_port, loop="uvloop", http="httptools",
        access_log=False, server_header=False, date_header=False, timeout_graceful_shutdown=10, log_level="info",
    )  # fmt: skip
