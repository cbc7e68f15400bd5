"""Calls from outside: what providers tell us of their jobs. Stored as it came; the worker verifies and reads it."""

from functools import partial
from typing import Any

from starlette.requests import Request

from api.edge.pace import know
from api.routes.prefix_router import PrefixRouter
from api.services import services
from common.errors import BodyTooLarge
from models.db import certain
from models.jobs import callbacks
from workers.doorbell import ring

router = PrefixRouter(tags=["hooks"])

KEPT_HEADERS = ("webhook-", "x-", "svix-", "content-type", "user-agent")
MAX_HEADER_CHARACTERS = 2048


@router.post(
    "/hooks/providers/{token}",
    summary="A provider reports",
    responses={404: {"description": "There is no such callback."}, 413: {"description": "The body is too large."}},
)
async def take_provider_callback(token: str, request: Request) -> dict[str, bool]:
    """Answers 200 whatever becomes of it, so that a late or repeated call is not sent again. The address is the secret;
    what the provider signs, the worker checks.
    """
    job_id, number = callbacks.attempt_of(token)
    know(request.scope)
    body = await request.body()
    if len(body) > callbacks.MAX_BYTES:
        raise BodyTooLarge(
            f"the body has {len(body)} bytes; the limit is {callbacks.MAX_BYTES}",
            limit=callbacks.MAX_BYTES,
            size=len(body),
        )
    here = services(request.app)
    return await here.wall.run(
        job_id, partial(here.places.ordinary.run, partial(_store, job_id, number, _kept(request), body))
    )


def _store(job_id: Any, number: int, headers: dict[str, str], body: bytes) -> dict[str, bool]:
    with certain() as conn:
        rung = callbacks.store(conn, job_id, number, headers, body)
    ring([rung] if rung else [])
    return {"received": True}


def _kept(request: Request) -> dict[str, str]:
    """The headers that a signature may be in; never cookies or keys."""
    return {
        name: value[:MAX_HEADER_CHARACTERS]
        for name, value in request.headers.items()
        if name.startswith(KEPT_HEADERS) and "\x00" not in value
    }
