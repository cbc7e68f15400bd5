"""The way of a hot route: straight to its endpoint. The framework asks its routers one after the other, and wraps what answers in
contexts that such a route has no use for: about an eighth of what a submit costs this process.

What is met on this way is what the framework would have met: the same endpoint, the same refusals, the same words in the
request's scope. Whatever else a path may be (another method, a slash more) is the framework's.
"""

from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute
from starlette.types import ASGIApp, Receive, Scope, Send

from api.routes.fast_routes import FastRoute, Handler

ErrorHandler = Callable[[Request, Exception], Awaitable[Response]]


class ShortWay:
    """Answers for these routes, whose endpoints answer with a whole response; all else goes on. The innermost of what stands
    in a request's way. Routes are tried in the order in which they are given.
    """

    def __init__(self, app: ASGIApp, routes: Sequence[BaseRoute]) -> None:
        self._app = app
        self._routes: dict[str, list[tuple[FastRoute, Handler]]] = {}
        for route in routes:
            if not isinstance(route, FastRoute):
                raise TypeError(f"{getattr(route, 'path', route)} is no FastRoute")
            for method in route.methods or ():
                self._routes.setdefault(method, []).append((route, route.get_route_handler()))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        handler = self._find(scope) if scope["type"] == "http" else None
        if handler is None:
            await self._app(scope, receive, send)
            return
        request = Request(scope, receive, send)
        try:
            answer = await handler(request)
        except Exception as error:
            answering = handler_of(scope["app"].exception_handlers, error)
            if answering is None:
                raise
            answer = await answering(request, error)
        await answer(scope, receive, send)

    def _find(self, scope: Scope) -> Handler | None:
        for route, handler in self._routes.get(scope["method"], ()):
            found = route.path_regex.match(scope["path"])
            if found is not None:
                scope["route"], scope["endpoint"] = route, route.endpoint
                scope["path_params"] = found.groupdict()
                return handler
        return None


def handler_of(handlers: dict[Any, Any], error: Exception) -> ErrorHandler | None:
    """Who answers for an error: the one of its nearest class. None: what is unexpected, which is answered further outside."""
    for kind in type(error).__mro__:
        if kind is not Exception and kind in handlers:
            found: ErrorHandler = handlers[kind]
            return found
    return None
