"""/v1/admin: providers, worker processes and webhooks in operators' hands. Each act needs a reason, and is in the audit log."""

from typing import Annotated, Literal
from uuid import UUID

from fastapi import Depends
from pydantic import BaseModel, Field
from starlette.requests import Request
from starlette.responses import Response

from api.auth.keyring import by
from api.routes.callers import needs
from api.routes.cursors import PathId, id_of
from api.routes.fast_routes import answer
from api.routes.once import RepeatKey, asked, once
from api.routes.prefix_router import PrefixRouter
from api.routes.shapes import Moment
from api.routes.walled import AdminRoute
from api.v1.admin_accounts import Because
from api.v1.admin_job_acts import Replayed
from common.errors import Unavailable
from models.access.scopes import Caller
from models.db import certain
from models.operations import fleet_acts
from workers.calls.limits import pressure
from workers.calls.standing import provider_rows

router = PrefixRouter(prefix="/v1/admin", tags=["admin"], route_class=AdminRoute)

_Operator = Annotated[Caller, Depends(needs("admin"))]
AWAY = "redis, which knows how providers stand, is away; try again soon"


class ProviderStanding(BaseModel):
    """How much a provider is asked, and whether it rests."""

    provider: str
    slots_used: int
    slots: int | None
    calls_last_minute: int
    per_minute: int | None
    faults: int
    resting_seconds: float
    limited_seconds: float
    on_trial: bool


class ProviderStandings(BaseModel):
    """The providers of the catalogue."""

    providers: list[ProviderStanding]


class RestRequest(Because):
    """For how long a provider is not asked."""

    seconds: Annotated[int, Field(ge=1, le=86_400)] = 600


class Rested(BaseModel):
    """The provider, and for how long it is not asked from now on."""

    provider: str
    resting_seconds: int


class Replay(Because):
    """Which of an account's deliveries are sent again."""

    endpoint_id: Annotated[UUID | None, Field(description="Null: to addresses that jobs brought.")] = None
    since: Moment
    until: Moment | None = None
    which: Annotated[Literal["failed", "all"], Field(description="`failed`: what did not arrive.")] = "failed"


class Drained(BaseModel):
    """The worker process that takes no more jobs."""

    worker_id: str


@router.get("/providers", response_model=ProviderStandings, summary="How the providers stand")
def list_providers(_who: _Operator) -> Response:
    """Slots, calls of the last minute, faults, and for how long each rests."""
    rows = provider_rows()
    if not rows:
        raise Unavailable(AWAY)
    return answer({"providers": rows})


@router.post("/providers/{provider}/rest", response_model=Rested, summary="RestRequest a provider")
def rest_provider(provider: str, body: RestRequest, request: Request, who: _Operator) -> Response:
    """Jobs go to the next of their route meanwhile, or wait; then one job tries it, and it works again or rests on. For longer, or
    for good, pause it.
    """
    with certain() as conn:
        fleet_acts.order_provider_act(
            conn, by(who, request), provider, "provider.rest", body.reason, seconds=body.seconds
        )
    return _rested(provider, body.seconds)


@router.post("/providers/{provider}/wake", response_model=Rested, summary="Wake a provider")
def wake_provider(provider: str, body: Because, request: Request, who: _Operator) -> Response:
    """It is asked again at once, whatever faults or limits it had."""
    with certain() as conn:
        fleet_acts.order_provider_act(conn, by(who, request), provider, "provider.wake", body.reason)
    return _rested(provider, 0)


def _rested(provider: str, seconds: int) -> Response:
    if not pressure().rest(provider, seconds):
        raise Unavailable(AWAY)
    return answer({"provider": provider, "resting_seconds": seconds})


@router.post("/workers/{worker_id}/drain", status_code=202, response_model=Drained, summary="Drain a worker process")
def drain_worker(worker_id: str, body: Because, request: Request, who: _Operator) -> Response:
    """It takes no more jobs within a quarter of a lease, and ends once those that it is at have come to their end. Whoever supervises
    it may start another.
    """
    with certain() as conn:
        fleet_acts.drain_worker(conn, by(who, request), worker_id, body.reason)
    return answer({"worker_id": worker_id}, 202)


@router.post("/accounts/{account_id}/replay", response_model=Replayed, summary="Send an account's webhooks again")
def replay_account(
    account_id: PathId, body: Replay, request: Request, who: _Operator, idempotency_key: RepeatKey = None
) -> Response:
    """To one of its endpoints, or to the addresses that its jobs brought; 10,000 at most: ask again until it is less."""
    wanted = id_of(account_id, "account")
    return once(
        who, idempotency_key, asked(request, body),
        lambda conn: {"count": fleet_acts.replay_account(
            conn, by(who, request), wanted, body.endpoint_id, body.since, body.until, body.reason, all_=body.which == "all"
        )},
    )  # fmt: skip
