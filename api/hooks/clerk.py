"""Clerk's webhooks: verified, stored once and acted upon in one transaction."""

import re
import time
from functools import partial
from typing import Any

import orjson
from fastapi import APIRouter
from starlette.requests import Request

from api.edge.pace import know
from api.hooks.svix import announced, verified_id
from api.services import services
from common.errors import BodyTooLarge, InvalidRequest, NotConfigured
from common.settings import settings
from common.whsec import key_of
from models.db import certain
from models.identity import clerk
from models.identity.clerk import SOURCE
from workers.doorbell import ring

router = APIRouter(tags=["hooks"])

MAX_BYTES = 256 * 1024

# A NUL in JSON text, which PostgreSQL cannot keep; an even number of backslashes before it are themselves.
_NUL = re.compile(rb"(?<!\\)((?:\\\\)*)\\u0000")


@router.post(
    "/hooks/clerk",
    summary="Clerk tells of a user",
    responses={
        401: {"description": "The signature does not fit, or is too old."},
        404: {"description": "CLERK_WEBHOOK_SECRET or the issuer is not set."},
        413: {"description": "The body is too large."},
    },
)
async def clerk_event(request: Request) -> dict[str, bool]:
    """Any event may come any number of times and in any order. What we do not know is stored and answered 200."""
    secret, issuer = settings().clerk_webhook_secret, settings().issuer_of_clerk()
    if secret is None or issuer is None:
        raise NotConfigured("Clerk's webhooks need CLERK_WEBHOOK_SECRET, and CLERK_ISSUER or OIDC_ISSUERS")
    announced(request.headers)
    body = await _body(request)
    event_id = verified_id(key_of(secret.get_secret_value()), request.headers, body, time.time())
    know(request.scope)
    here = services(request.app)
    work = partial(_receive, event_id, _parsed(body), issuer)
    return await here.wall.run(SOURCE, partial(here.places.ordinary.run, work), locks=False)


async def _body(request: Request) -> bytes:
    """The body, read no further than its limit."""
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > MAX_BYTES:
            raise BodyTooLarge(f"the body has more than {MAX_BYTES} bytes", limit=MAX_BYTES, size=len(body))
    return bytes(body)


def _parsed(body: bytes) -> dict[str, Any]:
    try:
        # Written once more by us: what cannot be written (depth, NUL) must not reach the database.
        event = orjson.loads(_NUL.sub(rb"\1", orjson.dumps(orjson.loads(body))))
    except (orjson.JSONDecodeError, orjson.JSONEncodeError):
        raise InvalidRequest("the body is no JSON, or nested too deep", param="body") from None
    if not isinstance(event, dict):
        raise InvalidRequest("the body is no JSON object", param="body")
    return event


def _receive(event_id: str, event: dict[str, Any], issuer: str) -> dict[str, bool]:
    with certain() as conn:
        rings = clerk.receive(conn, event_id, event, issuer=issuer)
    ring(rings)
    return {"received": True}
