"""The API process: `python -m api`. HTTP only; what it does, verbs in `models` do."""

import asyncio
import gc
from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager
from importlib.metadata import version
from inspect import iscoroutinefunction
from typing import Any

from fastapi import FastAPI
from fastapi.routing import APIRoute
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import Request
from starlette.responses import Response

from api import docs, results
from api.auth.keyring import KeyRing, need_of
from api.edge import problems
from api.edge.grouping import Grouper
from api.edge.heads import Heads, with_head
from api.edge.rate_limits import Rates
from api.edge.request_limits import Limits
from api.edge.serving import serve
from api.hooks import clerk, providers
from api.intake.rooms import Rooms
from api.intake.submits import Intake
from api.live.hub import Live
from api.live.redis_wakes import follow
from api.readiness import Readiness
from api.routes.fast_routes import LeanRoute, answer
from api.routes.places import Places
from api.routes.walls import Wall, WalledRoute
from api.tasks import keep
from api.v1 import admin, catalogue, credits, events, jobs, keys, notifications, provider_keys, webhooks
from api.v1 import files as uploads
from common import scratch
from common.errors import Unavailable
from common.settings import settings
from models import db, starting
from workers import doorbell

ROUTERS = (
    events.router,
    events.token_router,
    jobs.lean_router,
    jobs.router,
    catalogue.lean_router,
    catalogue.router,
    credits.router,
    results.router,
    uploads.lean_router,
    uploads.router,
    keys.router,
    provider_keys.router,
    webhooks.router,
    notifications.router,
    admin.router,
    providers.router,
    clerk.router,
)

CANCEL_AGAIN_SECONDS = 0.5

PROBLEMS: dict[int | str, dict[str, Any]] = {
    status: {"model": problems.Problem, "description": text}
    for status, text in {
        400: "The request is not valid.",
        401: "A valid API key or token is needed.",
        402: "Not enough credits: `needed` and `available` say how many.",
        403: "You may not do this, or the account's storage is full; `code` says which.",
        404: "There is nothing here, or it is somebody else's.",
        413: "The body is too large.",
        414: "The address is too long.",
        431: "The headers are too large.",
        429: "Too many requests: `Retry-After` says when to ask again.",
        422: "The input does not fit: `param` names the field.",
        503: "Try again soon.",
    }.items()
}


@asynccontextmanager
async def _lifespan(app: FastAPI) -> AsyncIterator[None]:
    scratch.tidy()
    app.state.rates = Rates()
    app.state.keys = KeyRing(app.state.rates)
    app.state.keys.start()
    app.state.wall = Wall()
    app.state.places = Places()
    app.state.rooms = Rooms(app.state.places.ordinary.run)
    app.state.readiness = Readiness()
    app.state.intake = Intake()
    app.state.reads = Grouper(jobs.read_group, name="reads")
    app.state.balances = Grouper(events.read_balances, name="balances")
    app.state.live = Live()
    live = app.state.live
    following = [
        asyncio.create_task(keep("looking for events", live.run)),
        asyncio.create_task(keep("hearing of events", lambda: follow(live))),
    ]
    app.state.catalogue = catalogue.Catalogue()
    app.state.catalogue.load()
    app.state.catalogue.start()
    # What is there now stays for ever: keep the collector from walking it at each full collection (p99 54 to 15 ms).
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 100)
    yield
    app.state.live.stop()
    await _ended(following)
    await app.state.catalogue.stop()
    app.state.intake.close()
    app.state.reads.close()
    app.state.balances.close()
    app.state.live.close()
    app.state.readiness.close()
    await app.state.keys.close()
    doorbell.close()
    db.close()


async def _ended(tasks: Collection[asyncio.Task[None]]) -> None:
    """Cancel tasks until they have ended: `asyncio.wait_for` of Python 3.11 swallows a cancellation that comes in the moment
    in which what it waits for is done, and its task goes on.
    """
    waiting = set(tasks)
    while waiting:
        for task in waiting:
            task.cancel()
        _, waiting = await asyncio.wait(waiting, timeout=CANCEL_AGAIN_SECONDS)


def make_app() -> FastAPI:
    """The application. Settings are read when it starts."""
    app = FastAPI(
        title="Headrace",
        version=version("headrace"),
        description="Order generated images, video and speech; pay with credits; fetch the results.",
        lifespan=_lifespan,
        responses=PROBLEMS,
        openapi_url=None,  # `api.docs` serves it
        docs_url=None,
        redoc_url=None,
        separate_input_output_schemas=False,
    )
    for router in ROUTERS:
        app.include_router(router)
    app.get("/healthz", tags=["health"], summary="Is this process alive")(_alive)
    app.get("/readyz", tags=["health"], summary="Can this process serve")(_ready)
    docs.install(app)
    problems.install(app, lambda path: methods_of(app, path))
    app.add_middleware(problems.Unexpected)  # inside of what gives answers their headers
    app.add_middleware(Limits)
    origins = [origin.strip() for origin in settings().cors_origins.split(",") if origin.strip()]
    if origins:
        app.add_middleware(
            CORSMiddleware, allow_origins=origins, allow_methods=["*"], max_age=600,
            allow_headers=["authorization", "content-type", "idempotency-key", "prefer", "last-event-id"],
            expose_headers=["x-request-id", "location", "idempotent-replayed", "retry-after", "ratelimit-limit",
                            "ratelimit-remaining", "ratelimit-reset"],
        )  # fmt: skip
    app.add_middleware(Heads)
    needs_of(app)  # no route without a word on who may call it
    _document(app)
    return app


# Who may call them without a key, and why.
OPEN_ROUTES = {
    "/v1/models": "the price list",
    "/v1/models/{model_id}": "the price list",
    "/v1/plans": "the price list",
    "/v1/plans/{plan_id}": "the price list",
    "/files/{token}": "the address is the secret",
    "/hooks/providers/{token}": "the address is the secret",
    "/hooks/clerk": "the body is signed",
    "/healthz": "says nothing",
    "/readyz": "says nothing",
}
PUBLIC = "public"
PROBLEM_REF = {"$ref": "#/components/schemas/Problem"}


def needs_of(app: FastAPI) -> list[tuple[str, str, str]]:
    """What each route needs: (path, method, scope or "public"). Raises RuntimeError for a route that does not say."""
    found = []
    for route in (*app.routes, *(each for router in ROUTERS for each in router.routes)):
        if not isinstance(route, APIRoute):
            continue  # the documentation itself
        need = need_of([route.endpoint, *(dependency.call for dependency in route.dependant.dependencies)])
        if need is None and route.path_format not in OPEN_ROUTES:
            raise RuntimeError(f"{route.path_format} does not say what it needs")
        if not isinstance(route, LeanRoute | WalledRoute) and not iscoroutinefunction(route.endpoint):
            raise RuntimeError(f"{route.path_format} is not behind the wall: its router needs route_class=WalledRoute")
        found += [(route.path_format, method.lower(), need or PUBLIC) for method in sorted(route.methods or ())]
    return found


def methods_of(app: FastAPI, path: str) -> list[str]:
    """The methods of a path."""
    routes = (*app.routes, *(each for router in ROUTERS for each in router.routes))
    fitting = [route for route in routes if isinstance(route, APIRoute) and route.path_regex.match(path)]
    return with_head({method for route in fitting for method in route.methods or ()}, path)


async def _alive() -> dict[str, str]:
    """Answers as long as the event loop runs."""
    return {"status": "ok"}


async def _ready(request: Request) -> Response:
    """Answers 200 when the database takes writes and the catalogue is loaded; Redis may be away."""
    await request.app.state.readiness.check()
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
        components["securitySchemes"] = {
            "key": {"type": "http", "scheme": "bearer", "description": "An API key or a JWT."}
        }
        components["schemas"]["Job"]["example"] = jobs.examples()
        for methods in document["paths"].values():
            for operation in methods.values():
                for response in operation["responses"].values():
                    content = response.get("content", {})
                    if content.get("application/json", {}).get("schema") == PROBLEM_REF:
                        content[problems.MEDIA_TYPE] = content.pop("application/json")
        for path, method, need in needs_of(app):
            if need != PUBLIC and path in document["paths"]:
                operation = document["paths"][path][method]
                operation["security"] = [{"key": [need]}]
                operation["x-scope"] = need
        return document

    app.openapi = openapi  # type: ignore[method-assign]  # FastAPI documents this way of extending its document


def main() -> None:
    """Serve until SIGTERM or SIGINT."""
    starting.run("the API", _serve, waits=False)


def _serve() -> None:
    results.prepare()
    serve(make_app())
