"""Signing in to the console by an admin key or a token, and out again; the theme; the files that pages load."""

import secrets
import time
from functools import partial
from pathlib import PurePath

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from api.auth.keyring import by
from api.console.rendering import HEADERS, STATIC_TYPES, static_files, written
from api.console.routing import Actor, Posted, Viewed, console_router, fault_page, posted, theme_of
from api.console.sessions import (
    NUMBER_BYTES,
    SESSION_COOKIE,
    THEME_COOKIE,
    VISIT_COOKIE,
    VISIT_SECONDS,
    begin_session,
    console_root,
    form_token,
    is_form_of,
    session_token,
    set_cookie,
    take_cookie,
    visit_number,
)
from api.edge.pace import know, weigh
from api.routes.cursors import name_of
from api.services import services
from common.errors import DomainError, Forbidden, NotAuthenticated, NotFound, RateLimited, Suspended
from models.access import audit_log
from models.access.audit_log import By
from models.access.scopes import Caller, check
from models.db import certain

open_router = APIRouter(prefix="/console", include_in_schema=False)
router, last_router = console_router(), console_router()

MAX_SECRET = 8192  # characters of what is pasted to sign in
KEPT = {"cache-control": "public, max-age=31536000, immutable"}
THEME_SECONDS = 31_536_000


@open_router.get("/static/{name}")
async def get_static(name: str, request: Request) -> Response:
    """A style, a script, the icons."""
    content = static_files().get(name)
    if content is None:
        return await fault_page(request, NotFound("there is no such file"))
    weigh(request.scope, len(content))
    return Response(content, headers=KEPT, media_type=STATIC_TYPES[PurePath(name).suffix])


@open_router.get("/sign-in")
async def show_sign_in(request: Request) -> Response:
    """The form."""
    return _form(request, request.query_params.get("next", ""))


@open_router.post("/sign-in")
async def sign_in_to_console(request: Request) -> Response:
    """Compare what was given, and begin a session. A refusal stands at the field."""
    try:
        return await _signed_in(request)
    except DomainError as error:
        return await fault_page(request, error)


async def _signed_in(request: Request) -> Response:
    fields = await posted(request)
    number = visit_number(request.cookies.get(VISIT_COOKIE))
    if number is None or not is_form_of(number, fields.get("form_token", "")):
        raise Forbidden("this form is not one that the console showed to this browser; open the page again")
    wanted, here = fields.get("next", ""), services(request.app)
    try:
        who = await here.keys.caller_with(request, fields.get("secret", "").strip()[: MAX_SECRET + 1])
        know(request.scope)
        check(who, "admin")
    except (NotAuthenticated, Suspended) as error:
        await here.rates.count_failure(request)
        return _form(request, wanted, status=401, refused=_said_at_the_field(error))
    except Forbidden:
        await here.rates.count_failure(request)
        return _form(
            request,
            wanted,
            status=403,
            refused="This key or token is not for operators: it needs the scope and the role admin.",
        )
    except RateLimited as error:
        return _form(
            request,
            wanted,
            status=429,
            refused=f"Too many attempts from here. Try again in {error.extra['retry_after']} s.",
        )
    await here.places.admin.run(partial(_note, by(who, request), who, "console.sign_in"))
    answer = RedirectResponse(console_root() + _within(wanted), 303, HEADERS)
    set_cookie(answer, SESSION_COOKIE, session_token(begin_session(who.user_id, who.key_id, time.time())))
    take_cookie(answer, VISIT_COOKIE)
    return answer


def _said_at_the_field(error: DomainError) -> str:
    if isinstance(error, Suspended):
        return "This account is suspended."
    return "That is no key or token that is valid here. A key begins with hr_ and has the scope admin."


def _note(who: By, caller: Caller, action: str) -> None:
    with certain() as conn:
        audit_log.record(conn, who, action, str(caller.user_id))


def _form(request: Request, wanted: str, *, status: int = 200, refused: str | None = None) -> Response:
    number = visit_number(request.cookies.get(VISIT_COOKIE))
    fresh = number is None
    number = number or secrets.token_bytes(NUMBER_BYTES)
    answer = written(
        "sign_in.html",
        status,
        theme=theme_of(request),
        form_token=form_token(number),
        next=_within(wanted),
        refused=refused,
    )
    if fresh:
        set_cookie(answer, VISIT_COOKIE, form_token(number), seconds=VISIT_SECONDS)
    return answer


def _within(wanted: str) -> str:
    """A page of the console, or the first one: nobody is led elsewhere."""
    try:
        name_of(wanted)
    except ValueError:
        return ""
    return wanted if wanted.startswith("/") and not wanted.startswith(("//", "/\\")) and len(wanted) < 2000 else ""


@router.post("/sign-out")
def sign_out(page: Viewed, actor: Actor, fields: Posted) -> Response:  # noqa: ARG001 - it is a form like any other
    """End the session in this browser."""
    _note(actor, page.who, "console.sign_out")
    answer = RedirectResponse(f"{console_root()}/sign-in", 303, HEADERS)
    take_cookie(answer, SESSION_COOKIE)
    return answer


@router.post("/theme")
def choose_theme(page: Viewed, fields: Posted) -> Response:
    """Light, dark, or as the system; kept by the browser."""
    answer = page.go("")
    answer.headers["location"] = console_root() + _within(fields.get("here", ""))
    set_cookie(answer, THEME_COOKIE, fields.get("theme", "system")[:10], seconds=THEME_SECONDS)
    return answer


@last_router.get("/{rest:path}")
def show_nothing(page: Viewed, rest: str) -> Response:
    """What is no page."""
    if not rest:
        return page.go("")
    raise NotFound(f"no page {rest[:100]!r}")
