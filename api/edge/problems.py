"""One error shape: RFC 9457 problem details, with `code`, `param`, `retryable` and `request_id` besides."""

import errno
import json
import logging
from collections.abc import Awaitable, Callable, Sequence
from http import HTTPStatus
from typing import Any

import orjson
import psycopg
from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.edge.voices import PlainRefusal, voice_of
from common.errors import BadSignature, DomainError, Forbidden, NotAuthenticated, RateLimited, Unavailable
from common.telemetry import figures
from models import failures
from storage.errors import StorageError

log = logging.getLogger(__name__)

MAX_NAME_CHARACTERS = 100
MEDIA_TYPE = "application/problem+json"
# Refusals that somebody who tries others' keys and doors would collect: counted wherever they come from.
FOR_WHO_ASKS = (NotAuthenticated, Forbidden, BadSignature)
# A disk that is full, or a process or machine that may open no more: it passes.
NO_ROOM = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EMFILE, errno.ENFILE, errno.ENOMEM})


class Problem(BaseModel):
    """RFC 9457 problem details. `retryable` says whether the same request may succeed soon."""

    type: str
    title: str
    status: int
    detail: str
    code: str
    param: str | None
    retryable: bool
    request_id: str | None


def problem(
    request: Request,
    status: int,
    code: str,
    detail: str,
    *,
    title: str | None = None,
    param: str | None = None,
    retryable: bool = False,
    extra: dict[str, Any] | None = None,
) -> Response:
    """The response that tells a problem."""
    figures.REFUSED.add(code)
    title = title or HTTPStatus(status).phrase
    request_id = request.scope.get("request_id")
    if (voice := voice_of(request.scope["path"])) is not None:
        spoken = voice(PlainRefusal(status, code, detail, title, param, retryable, request_id, extra or {}))
        challenge = {"www-authenticate": "Bearer"} if status == HTTPStatus.UNAUTHORIZED else {}
        return Response(
            _written(spoken.body), spoken.status or status, {**challenge, **spoken.headers}, "application/json"
        )
    body = {
        "type": f"urn:headrace:problem:{code}",
        "title": title,
        "status": status,
        "detail": detail,
        "code": code,
        "param": param,
        "retryable": retryable,
        "request_id": request_id,
        **(extra or {}),
    }
    headers = {"retry-after": str((extra or {}).get("retry_after", 1))} if retryable else {}
    if status == HTTPStatus.UNAUTHORIZED:
        headers["www-authenticate"] = "Bearer"
    return Response(_written(body), status, headers, MEDIA_TYPE)


def _written(body: dict[str, Any]) -> bytes:
    """A problem must be shown whatever it names: a number beyond 64 bits, or half of a character."""
    try:
        return orjson.dumps(body, default=str)
    except TypeError:
        return json.dumps(body, default=str).encode()


def of_domain(request: Request, error: DomainError) -> Response:
    """The response for one of our own errors."""
    return problem(
        request, error.status, error.code, error.detail,
        title=error.title(), param=error.param, retryable=error.retryable, extra=error.extra,
    )  # fmt: skip


def install(
    app: FastAPI, *, allowed: Callable[[str], list[str]], failed: Callable[[Request], Awaitable[object]]
) -> None:
    """Make every error of the app take this shape. `allowed` says which methods a path has; `failed` counts what somebody
    who tries keys and doors would collect, and raises RateLimited.
    """

    @app.exception_handler(DomainError)
    async def _domain(request: Request, error: DomainError) -> Response:
        if isinstance(error, FOR_WHO_ASKS):
            try:
                await failed(request)
            except RateLimited as too_many:
                return of_domain(request, too_many)
        return of_domain(request, error)

    @app.exception_handler(RequestValidationError)
    async def _validation(request: Request, error: RequestValidationError) -> Response:
        param, detail = first_of(error.errors(), skip=1)
        return problem(request, 422, "invalid_request", detail, param=param)

    for kind in (psycopg.Error, UnicodeEncodeError, OverflowError, OSError, StorageError):
        app.add_exception_handler(kind, _of_a_server)

    @app.exception_handler(HTTPException)
    async def _http(request: Request, error: HTTPException) -> Response:
        if isinstance(error.__cause__, DomainError):  # what a body met while it was read, wrapped by the framework
            return of_domain(request, error.__cause__)
        phrase = HTTPStatus(error.status_code).phrase
        answer = problem(request, error.status_code, phrase.lower().replace(" ", "_"), str(error.detail))
        answer.headers.update(error.headers or {})
        if (
            error.status_code == HTTPStatus.METHOD_NOT_ALLOWED
        ):  # the framework names those of one route of the path only
            answer.headers["allow"] = ", ".join(allowed(request.url.path))
        return answer

    @app.exception_handler(ClientDisconnect)
    async def _gone(_request: Request, _error: ClientDisconnect) -> Response:
        return Response(status_code=400)  # nobody reads it: no fault, and no line in the log for each who hangs up

    app.add_exception_handler(Exception, _unexpected)


class Unexpected:
    """Answers what nobody has handled, as far inside as it can, so that the answer gets the headers of every other. The
    framework's own place for that is outside of everything.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        begun = False

        async def sending(message: Message) -> None:
            nonlocal begun
            begun = True
            await send(message)

        try:
            await self._app(scope, receive, sending)
        except Exception as error:
            if begun or scope["type"] != "http":
                raise  # half an answer: the connection is closed
            answer = await _unexpected(Request(scope), error)
            await answer(scope, receive, send)


async def _of_a_server(request: Request, error: Exception) -> Response:
    """What a server of ours said: that it cannot now, or that it cannot keep a value, which is the client's then."""
    named = failures.named(error) or failures.of_value(error)
    if named is None and (isinstance(error, StorageError) or getattr(error, "errno", None) in NO_ROOM):
        named = Unavailable("there is no room for it, or the storage is away; try again soon")
    if named is None:
        return await _unexpected(request, error)
    log.warning("request %s: %s", request.scope.get("request_id"), error)
    return of_domain(request, named)


async def _unexpected(request: Request, error: Exception) -> Response:
    log.error("request %s failed unexpectedly", request.scope.get("request_id"), exc_info=error)
    return problem(request, 500, "internal_error", "an unexpected fault of ours; it was logged under the request id")


def first_of(errors: Sequence[Any], *, skip: int = 0) -> tuple[str, str]:
    """The field that the first of pydantic's errors is about, and what is wrong with it. `skip`: so many parts of a place
    before the field's name (the framework says first whether it is in the query or the body). The name may be the client's
    own, of any length.
    """
    first = errors[0]
    parts = [] if first["type"] == "json_invalid" else first["loc"][skip:]  # there, what follows is a place in the text
    place = ".".join(str(part) for part in parts)[:MAX_NAME_CHARACTERS] or "body"
    return place, f"{place}: {first['msg']}{_size_of(first)}"


def _size_of(error: Any) -> str:
    """How long a text was that is too long, as the message says of lists by itself."""
    given = error.get("input")
    return f"; this has {len(given)}" if error["type"] == "string_too_long" and isinstance(given, str) else ""
