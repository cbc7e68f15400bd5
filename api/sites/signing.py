"""Signing in to a site by a key or a token, and out again; the theme; the files that its pages load."""

import secrets
import time
from functools import partial
from pathlib import PurePath
from typing import Annotated, NamedTuple

from fastapi import APIRouter, Depends
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from api.auth.keyring import by
from api.edge.pace import know, weigh
from api.routes.cursors import name_of
from api.routes.prefix_router import PrefixRouter
from api.services import services
from api.sites.rendering import HEADERS, STATIC_TYPES, SitePage, static_files, written
from api.sites.routing import Actor, PageRoute, Posted, fault_page, page_for, posted, theme_of
from api.sites.sessions import (
    NUMBER_BYTES,
    VISIT_SECONDS,
    Site,
    begin_session,
    form_token,
    is_form_of,
    session_token,
    set_cookie,
    take_cookie,
    visit_number,
)
from common.errors import DomainError, Forbidden, NotAuthenticated, NotFound, RateLimited, Suspended
from models.access import audit_log
from models.access.audit_log import By
from models.access.scopes import Caller, check
from models.db import certain

MAX_SECRET = 8192  # characters of what is pasted to sign in
KEPT = {"cache-control": "public, max-age=31536000, immutable"}
THEME_SECONDS = 31_536_000


class Doors(NamedTuple):
    """The routes by which people come in and go. `last`: after all others of the site, what is no page."""

    outer: APIRouter
    inner: APIRouter
    last: APIRouter


def site_router(route: type[PageRoute]) -> APIRouter:
    """For one part of a site."""
    return PrefixRouter(prefix=f"/{route.site.name}", route_class=route, include_in_schema=False)


def make_doors(route: type[PageRoute], lacks: str) -> Doors:
    """The doors of a site. `lacks` is said to whoever has a key or a token that is not for it."""
    return Doors(_outer(route.site, lacks), _inner(route), _last(route))


def _outer(site: Site, lacks: str) -> APIRouter:
    router = PrefixRouter(prefix=f"/{site.name}", include_in_schema=False)

    @router.get("/static/{name}")
    async def get_static(name: str, request: Request) -> Response:
        """A style, a script, the icons."""
        content = static_files().get(name)
        if content is None:
            return await fault_page(site, request, NotFound("there is no such file"))
        weigh(request.scope, len(content))
        return Response(content, headers=KEPT, media_type=STATIC_TYPES[PurePath(name).suffix])

    @router.get("/sign-in")
    async def show_sign_in(request: Request) -> Response:
        """The form."""
        return _form(site, request, request.query_params.get("next", ""))

    @router.post("/sign-in")
    async def sign_in_there(request: Request) -> Response:
        """Compare what was given, and begin a session. A refusal stands at the field."""
        try:
            return await _signed_in(site, request, lacks)
        except DomainError as error:
            return await fault_page(site, request, error)

    return router


async def _signed_in(site: Site, request: Request, lacks: str) -> Response:
    fields = await posted(request)
    number = visit_number(site, request.cookies.get(site.visit_cookie))
    if number is None or not is_form_of(site, number, fields.get("form_token", "")):
        raise Forbidden("this form is not one that was shown to this browser; open the page again")
    wanted, here = fields.get("next", ""), services(request.app)
    refuse = partial(_form, site, request, wanted)
    try:
        who = await here.keys.caller_with(request, fields.get("secret", "").strip()[: MAX_SECRET + 1])
        know(request.scope)
        check(who, site.need)
    except (NotAuthenticated, Suspended) as error:
        await here.rates.count_failure(request)
        return refuse(status=401, refused=_said_at_the_field(site, error))
    except Forbidden:
        await here.rates.count_failure(request)
        return refuse(status=403, refused=lacks)
    except RateLimited as error:
        return refuse(status=429, refused=f"Too many attempts from here. Try again in {error.extra['retry_after']} s.")
    if site.for_operators:
        await here.places.admin.run(partial(_note, site, by(who, request), who, "sign_in"))
    answer = RedirectResponse(site.root + _within(wanted), 303, HEADERS)
    set_cookie(
        site, answer, site.session_cookie, session_token(site, begin_session(who.user_id, who.key_id, time.time()))
    )
    take_cookie(site, answer, site.visit_cookie)
    return answer


def _said_at_the_field(site: Site, error: DomainError) -> str:
    if isinstance(error, Suspended):
        return "This account is suspended."
    return f"That is no key or token that is valid here. A key begins with hr_ and has the scope {site.need}."


def _note(site: Site, who: By, caller: Caller, action: str) -> None:
    with certain() as conn:
        audit_log.record(conn, who, f"{site.name}.{action}", str(caller.user_id))


def _form(site: Site, request: Request, wanted: str, *, status: int = 200, refused: str | None = None) -> Response:
    number = visit_number(site, request.cookies.get(site.visit_cookie))
    fresh = number is None
    number = number or secrets.token_bytes(NUMBER_BYTES)
    answer = written(
        site, "sign_in.html", status, theme=theme_of(site, request), form_token=form_token(site, number),
        next=_within(wanted), refused=refused,
    )  # fmt: skip
    if fresh:
        set_cookie(site, answer, site.visit_cookie, form_token(site, number), seconds=VISIT_SECONDS)
    return answer


def _within(wanted: str) -> str:
    """A page of the site, or the first one: nobody is led elsewhere."""
    try:
        name_of(wanted)
    except ValueError:
        return ""
    return wanted if wanted.startswith("/") and not wanted.startswith(("//", "/\\")) and len(wanted) < 2000 else ""


def _inner(route: type[PageRoute]) -> APIRouter:
    site, router, viewed = route.site, site_router(route), Depends(page_for(route.site.need))

    @router.post("/sign-out")
    def sign_out(page: Annotated[SitePage, viewed], actor: Actor, fields: Posted) -> Response:  # noqa: ARG001 - it is a form like any other
        """End the session in this browser."""
        if site.for_operators:
            _note(site, actor, page.who, "sign_out")
        answer = page.go("/sign-in")
        take_cookie(site, answer, site.session_cookie)
        return answer

    @router.post("/theme")
    def choose_theme(page: Annotated[SitePage, viewed], fields: Posted) -> Response:
        """Light, dark, or as the system; kept by the browser."""
        answer = page.to(site.root + _within(fields.get("here", "")))
        set_cookie(site, answer, site.theme_cookie, fields.get("theme", "system")[:10], seconds=THEME_SECONDS)
        return answer

    return router


def _last(route: type[PageRoute]) -> APIRouter:
    router, viewed = site_router(route), Depends(page_for(route.site.need))

    @router.get("/{rest:path}")
    def show_nothing(page: Annotated[SitePage, viewed], rest: str) -> Response:
        """What is no page."""
        if not rest:
            return page.go("")
        raise NotFound(f"no page {rest[:100]!r}")

    return router
