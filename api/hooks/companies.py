"""What companies tell of payments: verified, stored once, answered; what it points at is then asked about by a duty."""

import time
from collections.abc import Callable, Coroutine, Mapping
from functools import partial
from typing import Any

from starlette.requests import Request

from api.edge.pace import know
from api.hooks.bodies import body_of, storable
from api.routes.prefix_router import PrefixRouter
from api.services import services
from common.errors import BadSignature, CompanyAway, InvalidRequest
from companies.base import Away, Hint, Malformed, NotSigned
from companies.registry import HOOKED, company
from models.db import certain
from models.payments import hints

router = PrefixRouter(tags=["hooks"])


def _route(name: str) -> Callable[[Request], Coroutine[Any, Any, dict[str, bool]]]:
    async def payment_hint(request: Request) -> dict[str, bool]:
        """Any hook may come any number of times, late, and in any order. One about what we do not know is stored and
        answered 200. What it says of money is not believed: the company is asked.
        """
        company(name)  # raises NotConfigured, before any of the body is read
        body = await body_of(request)
        here = services(request.app)
        # Where strangers' work is done: a signature may need keys that are fetched first.
        hint = await here.places.open.run(partial(_read, name, dict(request.headers), body, _path_of(request)))
        know(request.scope)
        work = partial(_store, name, hint, storable(hint.payload))
        return await here.wall.run(name, partial(here.places.ordinary.run, work), locks=False)

    return payment_hint


def _path_of(request: Request) -> str:
    """As it was signed: with its query, and as it came."""
    raw: bytes = request.scope.get("raw_path") or request.url.path.encode()
    query: bytes = request.scope.get("query_string") or b""
    return (raw + (b"?" + query if query else b"")).decode("latin-1")


def _read(name: str, headers: Mapping[str, str], body: bytes, path: str) -> Hint:
    try:
        return company(name).read_hook(headers, body, path=path, now=time.time())
    except NotSigned as error:
        raise BadSignature(str(error) or "the signature does not fit") from None
    except Away:
        raise CompanyAway(f"{name}'s keys cannot be had now; send it again soon") from None
    except Malformed as error:
        raise InvalidRequest(str(error) or "the body is no event", param="body") from None


def _store(name: str, hint: Hint, payload: dict[str, Any]) -> dict[str, bool]:
    with certain() as conn:
        hints.receive(
            conn, name, hint.event_id, hint.kind, hint.company_ids, payload, subscription_id=hint.subscription_id
        )
    return {"received": True}


for _name in HOOKED:
    router.add_api_route(
        f"/hooks/{_name}",
        _route(_name),
        methods=["POST"],
        name=f"take_{_name}_hint",
        summary=f"{_name.capitalize()} tells of a payment",
        responses={
            401: {"description": "The signature does not fit, or is too old."},
            404: {"description": f"{_name.capitalize()} is not set up here."},
            413: {"description": "The body is too large."},
        },
    )
