"""Routes without FastAPI's machinery in their way: documented like any other, and their endpoint is a plain async function of
the request.

The framework's own dependency solving and validation cost as much as a whole grouped submit (research/performance.md,
section 1d), so the hot routes read, check and answer by themselves.
"""

from collections.abc import Callable, Coroutine
from functools import wraps
from inspect import Parameter, Signature
from typing import Any, TypeVar

import orjson
from fastapi.routing import APIRoute
from pydantic import BaseModel, ValidationError
from starlette.requests import Request
from starlette.responses import Response

from api.auth.keyring import need_of
from api.edge.problems import first_of
from api.routes.callers import permitted
from api.routes.query_words import refuse_unknown, words_of
from common.errors import InvalidInput, InvalidParameter, InvalidRequest
from models.access.scopes import Scope

Shape = TypeVar("Shape", bound=BaseModel)
Handler = Callable[[Request], Coroutine[Any, Any, Response]]


class FastRoute(APIRoute):
    """A route whose endpoint is handed the request as it came. What it takes is said by `fast`, for the document alone."""

    def get_route_handler(self) -> Handler:
        handler: Handler = self.endpoint
        words, need = words_of(self), need_of([handler])
        if words is None or need is None:
            return handler

        @wraps(handler)
        async def checked(request: Request) -> Response:
            try:
                refuse_unknown(request, words)
            except InvalidParameter:
                if "token" not in words:  # that of a stream says who asks as well
                    await permitted(request, need)
                raise
            return await handler(request)

        return checked


def fast(*, need: Scope, **takes: Any) -> Callable[[Handler], Handler]:
    """Document an endpoint of a `FastRoute`: which scope it asks for (with `permitted`), and what it reads of the request by
    itself, as name = annotation or name = (annotation, default).
    """

    def mark(endpoint: Handler) -> Handler:
        parameters = [
            Parameter(name, Parameter.KEYWORD_ONLY, annotation=each[0], default=each[1])
            if isinstance(each, tuple)
            else Parameter(name, Parameter.KEYWORD_ONLY, annotation=each)
            for name, each in takes.items()
        ]
        endpoint.__signature__ = Signature(parameters)  # type: ignore[attr-defined]  # what the framework documents
        endpoint.need = need  # type: ignore[attr-defined]  # read again by `need_of`
        return endpoint

    return mark


def answer(body: Any, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    """A JSON response."""
    return Response(orjson.dumps(body), status, headers, "application/json")


async def read_body(request: Request, shape: type[Shape]) -> tuple[Shape, dict[str, Any]]:
    """The request's body, checked; and as it was sent. Raises InvalidRequest or InvalidInput that name the field."""
    raw = await request.body()
    try:
        body = orjson.loads(raw)
    except orjson.JSONDecodeError as error:
        raise InvalidRequest(f"the body is not JSON: {error}", param="body") from None
    if not isinstance(body, dict):
        raise InvalidRequest("the body must be a JSON object", param="body")
    try:
        return shape.model_validate(body), body
    except ValidationError as error:
        place, detail = first_of(error.errors(include_url=False))
        raise InvalidInput(detail, param=place) from None
