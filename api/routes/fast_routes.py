"""Routes without FastAPI's machinery in their way: documented like any other, handled by a plain async function.

The framework's own dependency solving and validation cost as much as a whole grouped submit (research/performance.md,
section 1d), so the hot routes read, check and answer by themselves.
"""

from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

import orjson
from fastapi.routing import APIRoute
from pydantic import BaseModel, ValidationError
from starlette.requests import Request
from starlette.responses import Response

from api.edge.problems import first_of
from common.errors import InvalidInput, InvalidRequest
from models.access.scopes import Scope

Shape = TypeVar("Shape", bound=BaseModel)
Handler = Callable[[Request], Coroutine[Any, Any, Response]]


class LeanRoute(APIRoute):
    """A route whose endpoint's signature is its documentation and whose `lean` function is its code."""

    def get_route_handler(self) -> Handler:
        lean: Handler = self.endpoint.lean  # type: ignore[attr-defined]  # set by `handled_by`
        return lean


def handled_by(handler: Handler, *, need: Scope) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Say which function really answers a documented endpoint, and which scope it asks for (with `auth.permitted`)."""

    def mark(endpoint: Callable[..., Any]) -> Callable[..., Any]:
        endpoint.lean = handler  # type: ignore[attr-defined]
        endpoint.need = need  # type: ignore[attr-defined]
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
