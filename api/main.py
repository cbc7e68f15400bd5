"""The API process: `python -m api`. HTTP only; what it does, verbs in `models` do."""

import gc
import json
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.metadata import version
from inspect import iscoroutinefunction
from pkgutil import resolve_name
from typing import Any

from fastapi import APIRouter, FastAPI
from fastapi.routing import APIRoute
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp

from api import docs, results
from api.account.routers import ACCOUNT_ROUTERS
from api.auth.keyring import need_of
from api.certificates import pages
from api.console.routers import CONSOLE_ROUTERS
from api.dialects.routers import DIALECT_ROUTERS
from api.edge import problems
from api.edge.heads import Heads, with_head
from api.edge.measured import Measured
from api.edge.request_limits import Limits
from api.edge.serving import serve
from api.features import Switch
from api.hooks import clerk, companies, providers
from api.provisioning import provisioning, token_accounts
from api.routes.fast_routes import FastRoute, answer
from api.routes.short_way import ShortWay
from api.routes.walled import WalledRoute
from api.services import running, services
from api.shared import page
from api.v1 import (
    admin,
    admin_accounts,
    admin_bulk,
    admin_fleet,
    admin_job_acts,
    admin_jobs,
    admin_payments,
    admin_promotions,
    admin_providers,
    admin_stats,
    batches,
    collection_sharing,
    collections,
    content,
    content_desk,
    content_feeds,
    courses,
    credits,
    events,
    exporting,
    files,
    holds,
    images,
    jobs,
    keys,
    label_limits,
    learning,
    lessons,
    me,
    models,
    notifications,
    outputs,
    payments,
    plans,
    playground,
    provider_keys,
    quotes,
    refills,
    subscription,
    summaries,
    tokens,
    usage,
    webhooks,
)
from common import scratch
from common.errors import Unavailable
from common.settings import WrongSettings, settings
from models import db, starting
from workers import doorbell

ROUTERS = (
    events.router,
    events.token_router,
    jobs.fast_router,
    jobs.router,
    *DIALECT_ROUTERS,  # programs of others look at a job several times in a second
    batches.fast_router,
    batches.router,
    quotes.fast_router,
    models.router,
    plans.router,
    subscription.fast_router,
    subscription.router,
    credits.router,
    results.router,
    files.fast_router,
    files.router,
    outputs.router,
    keys.router,
    tokens.router,
    provider_keys.router,
    webhooks.router,
    notifications.router,
    admin.router,
    admin_accounts.router,
    admin_fleet.router,
    admin_bulk.router,
    admin_jobs.router,
    admin_job_acts.router,
    admin_providers.router,
    me.router,
    exporting.my_router,
    exporting.admin_router,
    exporting.erasing_router,
    payments.fast_router,
    payments.router,
    admin_payments.router,
    admin_stats.router,
    usage.router,
    usage.admin_router,
    admin_promotions.router,
    holds.router,
    label_limits.router,
    refills.router,
    courses.router,
    lessons.router,
    learning.router,
    pages.router,
    content.router,
    content_feeds.router,
    content_desk.router,
    images.images_router,
    images.videos_router,
    images.sounds_router,
    images.feed_router,
    images.search_router,
    collections.router,
    collection_sharing.router,
    collection_sharing.invitations_router,
    page.router,
    playground.fast_router,
    playground.router,
    summaries.fast_router,
    summaries.router,
    providers.router,
    clerk.router,
    companies.router,
    provisioning.router,
    token_accounts.router,
    *CONSOLE_ROUTERS,
    *ACCOUNT_ROUTERS,
)

PROBLEMS: dict[int | str, dict[str, Any]] = {
    status: {"model": problems.Problem, "description": text}
    for status, text in {
        400: "The request is not valid.",
        401: "A valid API key or token is needed.",
        402: "Not enough credits: `needed` and `available` say how many.",
        403: "You may not do this, or the account's storage is full; `code` says which.",
        404: "There is nothing here, or it is somebody else's.",
        412: "Somebody has changed it meanwhile: `version` says which it is now.",
        413: "The body is too large.",
        414: "The address is too long.",
        431: "The headers are too large.",
        429: "Too many requests: `Retry-After` says when to ask again.",
        422: "The input does not fit: `param` names the field.",
        503: "Try again soon.",
    }.items()
}


# Made once: each `FastAPI.include_router` builds its routes anew, at the first request, which takes a third of a second.
# An operation is called as its endpoint is: a client that is generated from the document has functions of these names.
INCLUDED = APIRouter(responses=PROBLEMS, generate_unique_id_function=lambda route: route.name)
for _router in ROUTERS:
    INCLUDED.include_router(_router)


@asynccontextmanager
async def _lifespan(app: FastAPI) -> AsyncIterator[None]:
    scratch.tidy()
    async with running(app, models.written):
        # What is there now stays for ever: keep the collector from walking it at each full collection (p99 54 to 15 ms).
        gc.collect()
        gc.freeze()
        gc.set_threshold(50_000, 20, 100)
        yield
    doorbell.close()
    db.close()


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
        # The framework's own would tell addresses, queries and errors as they are, and to whoever a variable of its own names.
        telemetry={"tracing": False, "metrics": False, "logs": False, "auto_configure": False},
        routes=INCLUDED.routes,
    )
    docs.install(app)
    problems.install(app, allowed=lambda path: methods_of(app, path), failed=_failed)
    app.add_middleware(ShortWay, routes=[*jobs.fast_router.routes, *quotes.fast_router.routes])
    app.add_middleware(problems.Unexpected)  # inside of what gives answers their headers
    app.add_middleware(Switch)
    app.add_middleware(Limits)
    origins = [origin.strip() for origin in settings().cors_origins.split(",") if origin.strip()]
    if origins:
        app.add_middleware(
            CORSMiddleware, allow_origins=origins, allow_methods=["*"], max_age=600,
            allow_headers=["authorization", "content-type", "headrace-account", "headrace-create", "idempotency-key", "if-match", "prefer", "last-event-id",
                           "x-fal-target-url", "x-fal-queue-priority", "x-fal-request-timeout", "x-fal-runner-hint"],
            expose_headers=["x-request-id", "etag", "location", "idempotent-replayed", "preference-applied", "retry-after", "ratelimit-limit",
                            "ratelimit-remaining", "ratelimit-reset", "x-fal-request-id", "x-fal-request-timeout-type"],
        )  # fmt: skip
    if settings().is_watched():
        app.add_middleware(Measured)
    app.add_middleware(Heads)
    needs_of(app)  # no route without a word on who may call it
    _document(app)
    if settings().studio_app:
        app.mount("/studio", _studio(settings().studio_app))
    return app


def _studio(name: str) -> ASGIApp:
    """What STUDIO_APP makes. Raises WrongSettings where there is no such thing."""
    try:
        made: ASGIApp = resolve_name(name)()
    except (ImportError, AttributeError, ValueError, TypeError) as error:
        raise WrongSettings(f"STUDIO_APP names nothing that can be called: {name[:100]!r} ({error})") from error
    return made


def token_paths() -> list[str]:
    """Where the web client's own token is asked for."""
    found = (*provisioning.router.routes, *token_accounts.router.routes)
    return [route.path for route in found if isinstance(route, APIRoute)]


# Who may call them without a key, and why.
OPEN_ROUTES = {
    "/v1/models": "the price list",
    "/v1/models/{model_id}": "the price list",
    "/v1/plans": "the price list",
    "/v1/plans/{plan_id}": "the price list",
    "/v1/packs": "the price list",
    "/v1/packs/{pack_id}": "the price list",
    "/v1/content/articles": "what is published",
    "/v1/content/articles/{slug}": "what is published; of what is premium, the teaser",
    "/v1/content/search": "what is published; of what is premium, the teaser",
    "/v1/content/feed.rss": "what is published; of what is premium, the teaser",
    "/v1/content/feed.atom": "what is published; of what is premium, the teaser",
    "/v1/content/sitemap.xml": "what is published",
    "/v1/content/sitemaps/{month}.xml": "what is published",
    "/files/{token}": "the address is the secret",
    "/compat/replicate/v1/streams/{token}": "the address is the secret",
    "/certificates/{token}": "the address is the secret",
    "/certificates/{token}/certificate.png": "the address is the secret",
    "/shared/{token}": "the address is the secret",
    "/shared/static/shared.css": "how shared pages look",
    "/console/sign-in": "who comes in is found out there",
    "/console/static/{name}": "how the console looks",
    "/account/sign-in": "who comes in is found out there",
    "/account/static/{name}": "how an account's pages look",
    "/hooks/providers/{token}": "the address is the secret",
    "/hooks/clerk": "the body is signed",
    "/hooks/xendit": "the token is secret",
    "/hooks/stripe": "the body is signed",
    "/hooks/truelayer": "the body is signed",
    **dict.fromkeys(token_paths(), "the web client's own token is compared"),
    "/compat/fal/cdn/uploads/{token}": "the address is the secret",
    "/compat/fal/rest/.well-known/jwks.json": "what is published",
    "/healthz": "says nothing",
    "/readyz": "says which server is away, and not where it is",
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
        if not isinstance(route, FastRoute | WalledRoute) and not iscoroutinefunction(route.endpoint):
            raise RuntimeError(f"{route.path_format} is not behind the wall: its router needs route_class=WalledRoute")
        found += [(route.path_format, method.lower(), need or PUBLIC) for method in sorted(route.methods or ())]
    return found


def methods_of(app: FastAPI, path: str) -> list[str]:
    """The methods of a path."""
    routes = (*app.routes, *(each for router in ROUTERS for each in router.routes))
    fitting = [route for route in routes if isinstance(route, APIRoute) and route.path_regex.match(path)]
    return with_head({method for route in fitting for method in route.methods or ()}, path)


async def _failed(request: Request) -> None:
    await services(request.app).rates.count_failure(request)


@INCLUDED.get("/healthz", tags=["health"], summary="Is this process alive")
async def get_health() -> dict[str, str]:
    """Answers as long as the event loop runs."""
    return {"status": "ok"}


@INCLUDED.get("/readyz", tags=["health"], summary="Can this process serve")
async def get_readiness(request: Request) -> Response:
    """Answers 200 when the database takes writes and the catalogue is loaded, and names each server with what is wrong with
    it. Redis and storage may be away: orders are accepted, and `status` is `degraded`.
    """
    here = services(request.app)
    found = await here.readiness.check()
    shown = found.shown()
    if not found.is_ready:
        why = "; ".join(f"{name}: {each.why}" for name, each in found.servers.items() if each.needed and each.why)
        raise Unavailable(f"not ready: {why}", dependencies=shown["dependencies"])
    if here.catalogue.is_empty():
        raise Unavailable("the catalogue is empty: run `headrace migrate`", dependencies=shown["dependencies"])
    return answer(shown)


def _document(app: FastAPI) -> None:
    """Say in the OpenAPI document what FastAPI cannot know: the security scheme and an example job."""
    build = app.openapi

    def openapi() -> dict[str, Any]:
        if app.openapi_schema:
            return app.openapi_schema
        document = app.openapi_schema = _in_clients_words(build())
        components = document["components"]
        components["securitySchemes"] = {
            "key": {"type": "http", "scheme": "bearer", "description": "An API key or a JWT."},
            "web_client": {
                "type": "http",
                "scheme": "bearer",
                "description": "PROVISIONING_ADMIN_TOKEN; `Convex` does as well.",
            },
        }
        components["schemas"]["Job"]["example"] = jobs.examples()
        for methods in document["paths"].values():
            for operation in methods.values():
                for response in operation["responses"].values():
                    content = response.get("content", {})
                    # As JSON, or as what the route answers when all is well.
                    for kind in [kind for kind, what in content.items() if what.get("schema") == PROBLEM_REF]:
                        content[problems.MEDIA_TYPE] = content.pop(kind)
        for path in token_paths():
            document["paths"][path]["post"]["security"] = [{"web_client": []}]
        for path, method, need in needs_of(app):
            if need != PUBLIC and path in document["paths"]:
                operation = document["paths"][path][method]
                operation["security"] = [{"key": [need]}]
                operation["x-scope"] = need
        return document

    app.openapi = openapi  # type: ignore[method-assign]  # FastAPI documents this way of extending its document


def _in_clients_words(document: dict[str, Any]) -> dict[str, Any]:
    """What is shown of a job is a `JobView` here, since a job is a row of ours; clients know no other, so theirs is a `Job`."""
    shorter = re.sub(r'("(?:#/components/schemas/)?[A-Z]\w*?)View"', r'\1"', json.dumps(document))
    renamed: dict[str, Any] = json.loads(shorter)
    return renamed


def main() -> None:
    """Serve until SIGTERM or SIGINT."""
    starting.run("the API", _serve, part="api", waits=False)


def _serve() -> None:
    results.prepare()
    app = make_app()
    serve(app, ending=lambda: services(app).live.stop())  # noqa: PLW0108 - there are no services yet
