"""`/compat/fal/proxy`: where the library for JavaScript sends everything, naming in a header the address at fal that it means. That
is looked up among our own routes, and never fetched.
"""

from typing import NamedTuple
from urllib.parse import unquote, urlsplit

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from api.dialects.fal.answers import FalRoute
from api.edge.texts import bad_address
from api.routes.callers import permitted
from api.routes.fast_routes import fast
from api.routes.prefix_router import PrefixRouter
from common.dialects.fal import CDN, FAL, QUEUE, REST, RUN
from common.errors import InvalidParameter, InvalidRequest

router = PrefixRouter(prefix=FAL, route_class=FalRoute)

TARGET = "x-fal-target-url"
# Its hosts, and what stands for each. None of them is the proxy, so that nothing comes here twice.
HOSTS = {
    "fal.run": RUN, "falrun.com": RUN, "queue.fal.run": QUEUE, "queue.falrun.com": QUEUE, "rest.fal.ai": REST,
    "rest.alpha.fal.ai": REST, "rest.fal.run": REST, "v3.fal.media": CDN, "v2.fal.media": CDN, "fal.media": CDN,
}  # fmt: skip


class MeantAddress(NamedTuple):
    """Which of our addresses is meant."""

    path: str
    raw_path: bytes
    query: bytes


def target_of(address: str) -> MeantAddress:
    """Raises HTTPException (400) for what is no address of fal's, InvalidParameter for one that cannot be stored."""
    try:
        parts = urlsplit(address)
        host, port = parts.hostname or "", parts.port
    except ValueError:
        raise HTTPException(400, f"{TARGET} is no address") from None
    ours = HOSTS.get(host.lower())
    if ours is None or parts.scheme.lower() not in ("https", "http") or port not in (None, 443) or "@" in parts.netloc:
        raise HTTPException(400, f"{TARGET} must be an address of fal's own: https://queue.fal.run/…")
    raw = (ours + (parts.path or "/")).encode("latin-1", "replace")
    query = parts.query.encode("latin-1", "replace")
    path = unquote(raw.decode("latin-1"), errors="replace")
    if bad_address(path, raw, query) is not None:
        raise InvalidParameter(f"{TARGET} has a NUL, or is no UTF-8", param=TARGET)
    return MeantAddress(path, raw, query)


class Passed(Response):
    """An answer that another of our routes makes."""

    def __init__(self, request: Request, target: MeantAddress) -> None:
        self.background = None
        self.status_code = 200
        self.raw_headers = []
        self._app, self._target = request.app, target

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        kept = {name: value for name, value in scope.items() if name not in LOOKED_UP}
        meant = {
            **kept, "path": self._target.path, "raw_path": self._target.raw_path, "query_string": self._target.query,
            "headers": [each for each in scope["headers"] if each[0] != TARGET.encode()],
        }  # fmt: skip
        await self._app.router(meant, receive, send)


LOOKED_UP = frozenset({"router", "route", "endpoint", "path_params", "path", "raw_path", "query_string", "headers"})


@router.api_route("/proxy", methods=["GET", "POST", "PUT", "DELETE", "PATCH"])
@fast(need="read")
async def pass_to_target(request: Request) -> Response:
    """Whatever the route that is meant answers, which asks who is there by itself."""
    address = request.headers.get(TARGET)
    if address is None:
        await permitted(request, "read")
        raise InvalidRequest(f"the header {TARGET} must say which address of fal's is meant", param=TARGET)
    return Passed(request, target_of(address))
