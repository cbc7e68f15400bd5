"""Clerk's webhooks: verified, stored once and acted upon in one transaction."""

import time
from functools import partial
from typing import Any

from starlette.requests import Request

from api.edge.pace import know
from api.hooks.bodies import body_of, parsed
from api.hooks.svix import announced, verified_id
from api.routes.prefix_router import PrefixRouter
from api.services import services
from common.errors import NotConfigured
from common.settings import settings
from common.whsec import key_of
from models.db import certain
from models.identity import clerk
from models.identity.clerk import SOURCE
from workers.doorbell import ring

router = PrefixRouter(tags=["hooks"])


@router.post(
    "/hooks/clerk",
    summary="Clerk tells of a user",
    responses={
        401: {"description": "The signature does not fit, or is too old."},
        404: {"description": "CLERK_WEBHOOK_SECRET or the issuer is not set."},
        413: {"description": "The body is too large."},
    },
)
async def take_clerk_event(request: Request) -> dict[str, bool]:
    """Any event may come any number of times and in any order. What we do not know is stored and answered 200."""
    secret, issuer = settings().clerk_webhook_secret, settings().issuer_of_clerk()
    if secret is None or issuer is None:
        raise NotConfigured("Clerk's webhooks need CLERK_WEBHOOK_SECRET, and CLERK_ISSUER or OIDC_ISSUERS")
    announced(request.headers)
    body = await body_of(request)
    event_id = verified_id(key_of(secret.get_secret_value()), request.headers, body, time.time())
    know(request.scope)
    here = services(request.app)
    work = partial(_receive, event_id, parsed(body), issuer)
    return await here.wall.run(SOURCE, partial(here.places.ordinary.run, work), locks=False)


def _receive(event_id: str, event: dict[str, Any], issuer: str) -> dict[str, bool]:
    with certain() as conn:
        rings = clerk.receive(conn, event_id, event, issuer=issuer)
    ring(rings)
    return {"received": True}
