"""The console's routes: who comes in is found out by their session, a form must be ours, and what fails is a page."""

import logging
import time
from collections.abc import Callable, Coroutine
from functools import partial
from typing import Annotated, Any, TypeVar
from urllib.parse import urlencode

import psycopg
from fastapi import APIRouter, Depends
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, ValidationError
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import RedirectResponse, Response

from api.auth.keyring import by
from api.console.rendering import HEADERS, SAID_AFTER, THEMES, ConsolePage, written
from api.console.sessions import (
    SESSION_COOKIE,
    THEME_COOKIE,
    ConsoleSession,
    console_root,
    is_form_of,
    read_session,
    renewed,
    session_token,
    set_cookie,
    take_cookie,
)
from api.edge.problems import FOR_WHO_ASKS, first_of
from api.edge.texts import check_form
from api.routes.walled import AdminRoute
from api.services import services
from common.errors import (
    BodyTooLarge,
    DomainError,
    Forbidden,
    InvalidParameter,
    InvalidRequest,
    NotAuthenticated,
    RateLimited,
    Unavailable,
)
from models import failures
from models.access.audit_log import By
from models.access.holders import find_holder
from models.access.scopes import Caller, check
from models.accounts import accounts
from models.db import transaction
from storage.errors import StorageError

log = logging.getLogger(__name__)

FORM_BYTES = 32_768
MAX_FIELDS = 200
LIVE_HEADER = "headrace-live"  # the page asks again by itself: that is nobody who is there
_ENTERED = "headrace.console"
_Shape = TypeVar("_Shape", bound=BaseModel)
Fields = dict[str, str]

# What is said in place of a page, by the status.
FAULTS = {
    400: "This cannot be done", 401: "You are signed out", 403: "You may not do this", 404: "There is nothing here",
    409: "This cannot be done now", 413: "This is too large", 422: "This cannot be done", 429: "Too many requests",
    500: "Something is wrong here", 503: "This cannot be shown now",
}  # fmt: skip


class ConsoleRoute(AdminRoute):
    """A page of the console or an act, in the operators' place: with a session, and whatever fails is a page as well."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handler = super().get_route_handler()

        async def entered(request: Request) -> Response:
            try:
                session = await _enter(request)
                if session is None:
                    return sign_in_first(request)
                if request.method == "POST":
                    _check_form_token(session, await posted(request))
                answer = await handler(request)
            except (DomainError, HTTPException, RequestValidationError, psycopg.Error, OSError, StorageError) as error:
                return await fault_page(request, error)
            except ClientDisconnect:
                raise
            except Exception as error:  # noqa: BLE001 - whatever it is, it is logged, and a person gets a page
                return await fault_page(request, error)
            _renew(request, session, answer)
            return answer

        return entered


async def _enter(request: Request) -> ConsoleSession | None:
    """Whose session it is, who may still come in. None: nobody's. Raises Forbidden, RateLimited."""
    session = read_session(request.cookies.get(SESSION_COOKIE, ""), time.time())
    if session is None:
        return None
    here = services(request.app)
    try:
        who, name = await here.places.admin.run(partial(_holder, session))
    except (NotAuthenticated, Forbidden):  # the key has ended, or the role is lost: whoever it is may sign in again
        return None
    await here.keys.let_in(request, who, "admin")
    request.scope[_ENTERED] = ConsolePage(session, who, name, theme_of(request), _path_of(request), _said(request))
    return session


def _holder(session: ConsoleSession) -> tuple[Caller, str]:
    with transaction() as conn:
        who = find_holder(conn, session.user_id, session.key_id)
        check(who, "admin")
        user = accounts.user(conn, who.user_id)
    return who, user.email or user.subject


def sign_in_first(request: Request) -> Response:
    """To the sign-in, and from there back to the page that was asked for."""
    wanted = {"next": _path_of(request)} if request.method == "GET" else {}
    answer = RedirectResponse(f"{console_root()}/sign-in?{urlencode(wanted)}".rstrip("?"), 303, HEADERS)
    if SESSION_COOKIE in request.cookies:
        take_cookie(answer, SESSION_COOKIE)
    return answer


def _renew(request: Request, session: ConsoleSession, answer: Response) -> None:
    fresh = renewed(session, time.time())
    leaves = any(SESSION_COOKIE.encode() in value for name, value in answer.raw_headers if name == b"set-cookie")
    if fresh is not None and not leaves and LIVE_HEADER not in request.headers:
        set_cookie(answer, SESSION_COOKIE, session_token(fresh))


def theme_of(request: Request) -> str:
    """Light, dark, or as the system."""
    chosen = request.cookies.get(THEME_COOKIE, "system")
    return chosen if chosen in THEMES else "system"


def _path_of(request: Request) -> str:
    query = request.url.query
    return request.url.path.partition("/console")[2] + (f"?{query}" if query else "")


def _said(request: Request) -> str | None:
    return SAID_AFTER.get(request.query_params.get("done", ""))


# Forms


async def posted(request: Request) -> Fields:
    """The fields of a form; of a name that comes more than once, the last. Raises InvalidRequest, InvalidInput, BodyTooLarge."""
    known: Fields | None = request.scope.get("headrace.form")
    if known is not None:
        return known
    if not request.headers.get("content-type", "").lower().startswith("application/x-www-form-urlencoded"):
        raise InvalidRequest("this is not a form of the console", param="body")
    size = len(await request.body())
    if size > FORM_BYTES:
        raise BodyTooLarge(
            f"the form has {size} bytes; the limit is {FORM_BYTES}", param="body", limit=FORM_BYTES, size=size
        )
    async with request.form(max_files=0, max_fields=MAX_FIELDS) as form:
        check_form(form)
        fields = {name: value for name, value in form.multi_items() if isinstance(value, str)}
    request.scope["headrace.form"] = fields
    return fields


def _check_form_token(session: ConsoleSession, fields: Fields) -> None:
    if not is_form_of(session.number, fields.get("form_token", "")):
        raise Forbidden(
            "this form is not one that the console showed to this session; open the page again", param="form_token"
        )


def shaped(shape: type[_Shape], fields: Fields, *names: str) -> _Shape:
    """A form's fields as what they mean; those that are empty are left out. Raises InvalidParameter that names the field."""
    given = {name: fields[name].strip() for name in names if fields.get(name, "").strip()}
    try:
        return shape.model_validate(given)
    except ValidationError as error:
        param, detail = first_of(error.errors())
        raise InvalidParameter(detail, param=param) from None


def refusal_of(work: Callable[[], object]) -> DomainError | None:
    """Do something, and say why it was not done, for the form that it came from. What passes by itself is raised."""
    try:
        work()
    except DomainError as error:
        if error.status >= 500 or isinstance(error, RateLimited):
            raise
        return error
    return None


# Pages in place of pages


async def fault_page(request: Request, error: Exception) -> Response:
    """What failed, whether anything was changed, and what can be done; under the id that the log has as well."""
    problem = _named(request, error)
    if isinstance(problem, FOR_WHO_ASKS):
        try:
            await services(request.app).rates.count_failure(request)
        except RateLimited as too_many:
            problem = too_many
    status = problem.status
    title, detail = FAULTS.get(status, FAULTS[400 if status < 500 else 503]), problem.detail
    page: ConsolePage | None = request.scope.get(_ENTERED)
    values = {
        "title": title, "detail": detail, "status": status, "changed": request.method != "GET",
        "request_id": request.scope.get("request_id"), "param": problem.param,
    }  # fmt: skip
    if page is not None:
        answer = page.show("fault.html", status, **values)
    else:
        answer = written("outside.html", status, theme=theme_of(request), **values)
    if "retry_after" in problem.extra:
        answer.headers["retry-after"] = str(problem.extra["retry_after"])
    return answer


def _named(request: Request, error: Exception) -> DomainError:
    if isinstance(error, DomainError):
        return error
    if isinstance(error, HTTPException):
        if isinstance(error.__cause__, DomainError):
            return error.__cause__
        found = InvalidRequest(str(error.detail))
        found.status = error.status_code  # type: ignore[misc]  # the framework's own word for what it refused
        return found
    if isinstance(error, RequestValidationError):
        param, detail = first_of(error.errors(), skip=1)
        return InvalidParameter(detail, param=param)
    named = failures.named(error) or failures.of_value(error)
    if named is None and isinstance(error, StorageError):
        named = Unavailable("the storage is away; try again soon")
    if named is not None:
        log.warning("request %s: %s", request.scope.get("request_id"), error)
        return named
    log.error("request %s failed unexpectedly", request.scope.get("request_id"), exc_info=error)
    unexpected = DomainError("A fault of ours, which was logged under the id below.")
    unexpected.code, unexpected.status = "internal_error", 500  # type: ignore[misc]  # no kind of refusal that anybody raises
    return unexpected


# What routes are given


async def page_of(request: Request) -> ConsolePage:
    """A dependency: the request, by somebody who may see the page."""
    found: ConsolePage = request.scope[_ENTERED]
    return found


page_of.need = "admin"  # type: ignore[attr-defined]  # as `needs` says it of a scope


async def actor_of(request: Request) -> By:
    """A dependency: who acts, for the audit log."""
    page: ConsolePage = request.scope[_ENTERED]
    return by(page.who, request)


Viewed = Annotated[ConsolePage, Depends(page_of)]
Posted = Annotated[Fields, Depends(posted)]
Actor = Annotated[By, Depends(actor_of)]


def console_router() -> APIRouter:
    """For one part of the console."""
    return APIRouter(prefix="/console", route_class=ConsoleRoute, include_in_schema=False)
