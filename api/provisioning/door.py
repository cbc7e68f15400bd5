"""Who may call as the web client: its server, by a token of this deployment."""

import hashlib
import hmac
from collections.abc import Callable, Coroutine
from typing import Any

from fastapi.routing import APIRoute
from starlette.requests import Request
from starlette.responses import Response

from api.edge.pace import know
from api.routes.walled import WalledRoute
from api.services import services
from api.turns.places import go_to
from common.errors import NotAuthenticated, NotConfigured
from common.settings import settings

SCHEMES = ("bearer", "convex")
WALL = "the web client"  # those of its requests that met a lock take turns


class ProvisioningRoute(WalledRoute):
    """A route of the web client's. Its token is looked at first, so that a stranger's body is not read."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handler = APIRoute.get_route_handler(self)

        async def guarded(request: Request) -> Response:
            check_token(request.headers.get("authorization", ""))
            know(request.scope)
            here = services(request.app)
            go_to(here.places.ordinary)
            return await here.wall.run(WALL, lambda: handler(request), locks=False)

        return guarded


def check_token(header: str) -> None:
    """Raises NotConfigured where this deployment has no token, NotAuthenticated for any other."""
    expected = settings().provisioning_tokens()
    if not expected:
        raise NotConfigured("the web client's routes need PROVISIONING_ADMIN_TOKEN")
    scheme, _, given = header.partition(" ")
    # Hashes have one length, and all are compared, so that the time it takes tells nothing.
    found = [hmac.compare_digest(_hash(given.strip()), _hash(token)) for token in expected]
    if scheme.lower() not in SCHEMES or not any(found):
        raise NotAuthenticated("send the admin token: Authorization: Bearer … (or Convex …)")


def _hash(token: str) -> bytes:
    return hashlib.sha256(token.encode(errors="surrogateescape")).digest()
