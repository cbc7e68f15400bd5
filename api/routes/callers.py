"""Who asks, for the routes: each declares the scope it needs."""

from collections.abc import Callable, Coroutine
from typing import Any

from starlette.requests import Request

from api.services import services
from models.access.scopes import Caller, Scope, check_editor


async def permitted(request: Request, scope: Scope) -> Caller:
    """The caller, who has this scope and has not asked too often. Raises NotAuthenticated, Forbidden, RateLimited."""
    return await services(request.app).keys.permitted(request, scope)


def needs(scope: Scope) -> Callable[[Request], Coroutine[Any, Any, Caller]]:
    """A FastAPI dependency: the caller, who has this scope. Async on purpose: a synchronous one would hop to the thread
    pool. `need` tells the document, and the test that walks it, what the route needs.
    """

    async def dependency(request: Request) -> Caller:
        return await permitted(request, scope)

    dependency.need = scope  # type: ignore[attr-defined]  # FastAPI keeps the function, and so what is on it
    return dependency


async def needs_editor(request: Request) -> Caller:
    """The same for what editors do: the caller, who may write and is an editor. Raises as `permitted`."""
    who = await permitted(request, "write")
    check_editor(who)
    return who


needs_editor.need = "write"  # type: ignore[attr-defined]  # as above
