"""Routes whose endpoint is synchronous: behind the wall between tenants, in a thread of their place."""

from collections.abc import Callable, Coroutine
from inspect import iscoroutinefunction
from typing import Any

from fastapi.routing import APIRoute
from starlette.requests import Request
from starlette.responses import Response

from api.auth.keyring import need_of
from api.routes.callers import permitted
from api.routes.query_words import refuse_unknown, words_of
from api.services import services
from api.turns.places import Place, Places, go_to, placed


class WalledRoute(APIRoute):
    """A route whose endpoint is synchronous, behind the wall. Its endpoint does one transaction, so that it can be done
    again. Who asks is found out first, so that a stranger's body is not read. Its thread is one of its place's.
    """

    def __init__(self, path: str, endpoint: Callable[..., Any], **rest: Any) -> None:
        super().__init__(path, endpoint if iscoroutinefunction(endpoint) else placed(endpoint), **rest)

    @staticmethod
    def place(places: Places) -> Place:
        """Where its endpoint is run."""
        return places.ordinary

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handler, words = super().get_route_handler(), words_of(self)
        need = need_of(each.call for each in self.dependant.dependencies)
        locks = not (self.methods or set()) <= {"GET", "HEAD"}

        async def walled(request: Request) -> Response:
            places = services(request.app).places
            if need is None:
                refuse_unknown(request, words)
                go_to(places.open)
                return await handler(request)
            go_to(self.place(places))
            who = await permitted(request, need)
            refuse_unknown(request, words)
            return await services(request.app).wall.run(who.account_id, lambda: handler(request), locks=locks)

        return walled


class AdminRoute(WalledRoute):
    """One for operators: what they look at is large, and must not take everybody's threads and connections."""

    @staticmethod
    def place(places: Places) -> Place:
        return places.admin
