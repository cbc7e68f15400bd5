"""Routes of pages: who comes in is found out by their session, a form must be ours, and what fails is a page."""

import logging
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from dataclasses import replace
from functools import partial
from typing import Annotated, Any, ClassVar, TypeVar
from urllib.parse import urlencode

import psycopg
from fastapi import Depends
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from pydantic import BaseModel, ValidationError
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import RedirectResponse, Response

from api.auth.keyring import by, need_of
from api.edge.problems import FOR_WHO_ASKS, first_of
from api.edge.texts import check_form
from api.services import services
from api.sites.rendering import HEADERS, THEMES, SitePage, written
from api.sites.sessions import (
    Site,
    SiteSession,
    is_form_of,
    read_session,
    renewed,
    session_token,
    set_cookie,
    take_cookie,
)
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
from models.access.scopes import DEFAULT_SCOPES, Caller, Scope, check
from models.accounts import accounts
from models.db import transaction
from storage.errors import StorageError

log = logging.getLogger(__name__)

FORM_BYTES = 32_768
MAX_FIELDS = 200
LIVE_HEADER = "headrace-live"  # the page asks again by itself: that is nobody who is there
FORM = "headrace.form"
_ENTERED = "headrace.page"
_Shape = TypeVar("_Shape", bound=BaseModel)
Fields = dict[str, str]

# What is said in place of a page, by the status.
FAULTS = {
    400: "This cannot be done", 401: "You are signed out", 403: "You may not do this", 404: "There is nothing here",
    409: "This cannot be done now", 413: "This is too large", 422: "This cannot be done", 429: "Too many requests",
    500: "Something is wrong here", 503: "This cannot be shown now",
}  # fmt: skip


class PageRoute(APIRoute):
    """A page of a site or an act: with a session, and whatever fails is a page as well. Each site has a class of its own."""

    site: ClassVar[Site]

    @asynccontextmanager
    async def received(self, request: Request) -> AsyncIterator[None]:
        """For the time in which a form is there."""
        if request.method == "POST":
            await read_form(request, self.site.form_bytes)
        yield

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handler, site = super().get_route_handler(), self.site
        need = need_of(each.call for each in self.dependant.dependencies) or site.need

        async def entered(request: Request) -> Response:
            try:
                session = await _enter(site, request, need)
                if session is None:
                    return sign_in_first(site, request)
                async with self.received(request):
                    if request.method == "POST":
                        _check_form_token(site, session, await posted(request))
                    answer = await handler(request)
            except (DomainError, HTTPException, RequestValidationError, psycopg.Error, OSError, StorageError) as error:
                return await fault_page(site, request, error)
            except ClientDisconnect:
                raise
            except Exception as error:  # noqa: BLE001 - whatever it is, it is logged, and a person gets a page
                return await fault_page(site, request, error)
            _renew(site, request, session, answer)
            return answer

        return entered


async def _enter(site: Site, request: Request, need: Scope) -> SiteSession | None:
    """Whose session it is, who may still come in. None: nobody's. Raises Forbidden, RateLimited."""
    session = read_session(site, request.cookies.get(site.session_cookie, ""), time.time())
    if session is None:
        return None
    here = services(request.app)
    place = here.places.admin if site.for_operators else here.places.ordinary
    try:
        who, name = await place.run(partial(_holder, site, session))
    except (NotAuthenticated, Forbidden):  # the key has ended, or the role is lost: whoever it is may sign in again
        return None
    request.scope[_ENTERED] = SitePage(
        site, session, who, name, theme_of(site, request), _path_of(site, request),
        site.said_after.get(request.query_params.get("done", "")),
    )  # fmt: skip
    await here.keys.let_in(request, who, need)
    return session


def _holder(site: Site, session: SiteSession) -> tuple[Caller, str]:
    with transaction() as conn:
        who = find_holder(conn, session.user_id, session.key_id)
        check(who, site.need)
        user = accounts.user(conn, who.user_id)
    if not site.for_operators:  # whoever it is, they are here as a customer
        who = replace(who, scopes=who.scopes & frozenset(DEFAULT_SCOPES))
    return who, user.email or user.subject


def sign_in_first(site: Site, request: Request) -> Response:
    """To the sign-in, and from there back to the page that was asked for."""
    wanted = {"next": _path_of(site, request)} if request.method == "GET" else {}
    answer = RedirectResponse(f"{site.root}/sign-in?{urlencode(wanted)}".rstrip("?"), 303, HEADERS)
    if site.session_cookie in request.cookies:
        take_cookie(site, answer, site.session_cookie)
    return answer


def _renew(site: Site, request: Request, session: SiteSession, answer: Response) -> None:
    fresh = renewed(session, time.time())
    leaves = any(site.session_cookie.encode() in value for name, value in answer.raw_headers if name == b"set-cookie")
    if fresh is not None and not leaves and LIVE_HEADER not in request.headers:
        set_cookie(site, answer, site.session_cookie, session_token(site, fresh))


def theme_of(site: Site, request: Request) -> str:
    """Light, dark, or as the system."""
    chosen = request.cookies.get(site.theme_cookie, "system")
    return chosen if chosen in THEMES else "system"


def _path_of(site: Site, request: Request) -> str:
    query = request.url.query
    return request.url.path.partition(f"/{site.name}")[2] + (f"?{query}" if query else "")


# Forms


async def posted(request: Request) -> Fields:
    """The fields of a form; of a name that comes more than once, the last. Raises as `read_form`."""
    known: Fields | None = request.scope.get(FORM)
    return await read_form(request, FORM_BYTES) if known is None else known


async def read_form(request: Request, most: int) -> Fields:
    """Read a form of at most so many bytes. Raises InvalidRequest, InvalidInput, BodyTooLarge."""
    if not request.headers.get("content-type", "").lower().startswith("application/x-www-form-urlencoded"):
        raise InvalidRequest("this is not a form of these pages", param="body")
    size = len(await request.body())
    if size > most:
        raise BodyTooLarge(f"the form has {size} bytes; the limit is {most}", param="body", limit=most, size=size)
    async with request.form(max_files=0, max_fields=MAX_FIELDS) as form:
        check_form(form)
        fields = {name: value for name, value in form.multi_items() if isinstance(value, str)}
    request.scope[FORM] = fields
    return fields


def _check_form_token(site: Site, session: SiteSession, fields: Fields) -> None:
    if not is_form_of(site, session.number, fields.get("form_token", "")):
        raise Forbidden("this form is not one that was shown to this session; open the page again", param="form_token")


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


async def fault_page(site: Site, request: Request, error: Exception) -> Response:
    """What failed, whether anything was changed, and what can be done; under the id that the log has as well."""
    problem = _named(request, error)
    if isinstance(problem, FOR_WHO_ASKS):
        try:
            await services(request.app).rates.count_failure(request)
        except RateLimited as too_many:
            problem = too_many
    status = problem.status
    title, detail = FAULTS.get(status, FAULTS[400 if status < 500 else 503]), problem.detail
    page: SitePage | None = request.scope.get(_ENTERED)
    values = {
        "title": title, "detail": detail, "status": status, "changed": request.method != "GET",
        "request_id": request.scope.get("request_id"), "param": problem.param,
    }  # fmt: skip
    if page is not None:
        answer = page.show("fault.html", status, **values)
    else:
        answer = written(site, "outside.html", status, theme=theme_of(site, request), **values)
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


def page_for(need: Scope) -> Callable[[Request], Coroutine[Any, Any, SitePage]]:
    """A dependency: the request, by somebody who may see the page. Its routes need this scope."""

    async def page(request: Request) -> SitePage:
        found: SitePage = request.scope[_ENTERED]
        return found

    page.need = need  # type: ignore[attr-defined]  # as `needs` says it of a scope
    return page


def page_in(request: Request) -> SitePage:
    """The request, by somebody who has come in."""
    found: SitePage = request.scope[_ENTERED]
    return found


async def actor_of(request: Request) -> By:
    """A dependency: who acts, for the audit log."""
    page: SitePage = request.scope[_ENTERED]
    return by(page.who, request)


Posted = Annotated[Fields, Depends(posted)]
Actor = Annotated[By, Depends(actor_of)]
