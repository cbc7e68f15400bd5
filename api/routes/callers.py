"""Who asks, for the routes: each declares the scope it needs."""

from collections.abc import Callable, Coroutine
from typing import Any

from starlette.requests import Request

from api.services import services
from models.access.scopes import Caller, Scope


async def permitted(request: Request, scope: Scope) -> Caller:
    """The caller, who has this scope and has not asked too often. Raises NotAuthenticated, Forbidden, RateLimited."""
    return await services(request.app).keys.permitted(request, scope)


async def polling(request: Request, scope: Scope) -> Caller:
    """The caller, who has this scope, of a request that does not spend what their key may ask: libraries of others look at a job
    ten times in a second. Raises NotAuthenticated, Forbidden.
    """
    return await services(request.app).keys.permitted(request, scope, counted=False)


async def perhaps(request: Request) -> Caller | None:
    """A FastAPI dependency of routes that anybody may call: the caller, if they say who they are. A key that is no good is
    refused, since its answer would not be what its owner expects. Raises as `permitted`.
    """
    return await permitted(request, "read") if "authorization" in request.headers else None


def needs(scope: Scope) -> Callable[[Request], Coroutine[Any, Any, Caller]]:
    """A FastAPI dependency: the caller, who has this scope. Async on purpose: a synchronous one would hop to the thread
    pool. `need` tells the document, and the test that walks it, what the route needs.
    """

    async def dependency(request: Request) -> Caller:
        return await permitted(request, scope)

    dependency.need = scope  # type: ignore[attr-defined]  # FastAPI keeps the function, and so what is on it
    return dependency
