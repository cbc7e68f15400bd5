"""One error shape: RFC 9457 problem details, with `code`, `param`, `retryable` and `request_id` besides."""

import logging
from collections.abc import Callable, Sequence
from http import HTTPStatus
from typing import Any

import orjson
from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from models.errors import DomainError

log = logging.getLogger(__name__)

MEDIA_TYPE = "application/problem+json"


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
    body = {
        "type": f"urn:headrace:problem:{code}",
        "title": title or HTTPStatus(status).phrase,
        "status": status,
        "detail": detail,
        "code": code,
        "param": param,
        "retryable": retryable,
        "request_id": request.scope.get("request_id"),
        **(extra or {}),
    }
    headers = {"retry-after": str((extra or {}).get("retry_after", 1))} if retryable else {}
    if status == HTTPStatus.UNAUTHORIZED:
        headers["www-authenticate"] = "Bearer"
    return Response(orjson.dumps(body, default=str), status, headers, MEDIA_TYPE)


def of_domain(request: Request, error: DomainError) -> Response:
    """The response for one of our own errors."""
    return problem(
        request, error.status, error.code, error.detail,
        title=error.title(), param=error.param, retryable=error.retryable, extra=error.extra,
    )  # fmt: skip


def install(app: FastAPI, allowed: Callable[[str], list[str]]) -> None:
    """Make every error of the app take this shape. `allowed` says which methods a path has."""

    @app.exception_handler(DomainError)
    async def _domain(request: Request, error: DomainError) -> Response:
        return of_domain(request, error)

    @app.exception_handler(RequestValidationError)
    async def _validation(request: Request, error: RequestValidationError) -> Response:
        return problem(request, 422, "invalid_request", *_first(error.errors()))

    @app.exception_handler(HTTPException)
    async def _http(request: Request, error: HTTPException) -> Response:
        phrase = HTTPStatus(error.status_code).phrase
        answer = problem(request, error.status_code, phrase.lower().replace(" ", "_"), str(error.detail))
        answer.headers.update(error.headers or {})
        if (
            error.status_code == HTTPStatus.METHOD_NOT_ALLOWED
        ):  # the framework names those of one route of the path only
            answer.headers["allow"] = ", ".join(allowed(request.url.path))
        return answer

    @app.exception_handler(Exception)
    async def _unexpected(request: Request, error: Exception) -> Response:
        log.error("request %s failed unexpectedly", request.scope.get("request_id"), exc_info=error)
        return problem(
            request, 500, "internal_error", "an unexpected fault of ours; it was logged under the request id"
        )


def _first(errors: Sequence[Any]) -> tuple[str]:
    first = errors[0] if errors else {"loc": ("body",), "msg": "is not valid"}
    place = ".".join(str(part) for part in first["loc"] if part != "body")
    return (f"{place or 'body'}: {first['msg']}",)
