"""/v1/admin/jobs/{id}/…: what operators do to one job. Each act needs a reason, and is in the audit log with it."""

from typing import Annotated, Any
from uuid import UUID

from fastapi import Depends
from psycopg import Connection
from pydantic import BaseModel, Field
from starlette.requests import Request
from starlette.responses import Response

from api.auth.keyring import by
from api.routes.callers import needs
from api.routes.cursors import PathId, id_of
from api.routes.once import RepeatKey, asked, once
from api.routes.prefix_router import PrefixRouter
from api.routes.shapes import RequestBody
from api.routes.walled import AdminRoute
from api.v1.admin_accounts import Because
from models.access.scopes import Caller
from models.credits.ledger import MAX_GRANT
from models.operations import fleet_acts, job_acts
from models.operations.job_acts import Acted, JobAct, Why
from workers.calls.limits import pressure
from workers.doorbell import ring

router = PrefixRouter(prefix="/v1/admin/jobs", tags=["admin"], route_class=AdminRoute)

_Operator = Annotated[Caller, Depends(needs("admin"))]


class JobRefund(Because):
    """Credits to give back: so many, or all that the job was charged."""

    amount: Annotated[int | None, Field(ge=1, le=MAX_GRANT)] = None


class ActedView(BaseModel):
    """What was done. `credits`: reserved anew by a retry, else given back, or to be once the job has stopped."""

    job_id: UUID
    credits: int
    new_job_id: UUID | None


class Replayed(BaseModel):
    """How many deliveries are sent again."""

    count: int


def after_act(done: Acted) -> None:
    """What follows a committed act: workers are rung, and a provider's slot is free."""
    ring(done.rings)
    if done.slot is not None:
        pressure().release(*done.slot)


def _act(request: Request, who: Caller, key: str | None, job_id: str, body: RequestBody, act: JobAct, reason: str, status: int = 200) -> Response:  # fmt: skip
    wanted, done = id_of(job_id, "job"), list[Acted]()

    def work(conn: Connection[Any]) -> dict[str, Any]:
        done[:] = [act(conn, Why(by(who, request), reason), wanted)]
        return {"job_id": done[0].job_id, "credits": done[0].credits, "new_job_id": done[0].new_job_id}

    made = once(who, key, asked(request, body), work, status=status)
    for each in done:
        after_act(each)
    return made


@router.post("/{job_id}/retry", status_code=201, response_model=ActedView, summary="Retry a job of any account")
def retry_any_job(
    job_id: PathId, body: Because, request: Request, who: _Operator, idempotency_key: RepeatKey = None
) -> Response:
    """An ended one is ordered again for its account, at today's price, as a new job. One that is `reconciling` is tried again
    at its provider, which must not have begun it: find out there before.
    """
    return _act(request, who, idempotency_key, job_id, body, job_acts.retry_job, body.reason, 201)


@router.post("/{job_id}/refund", response_model=ActedView, summary="Give back what a job was charged")
def refund_job(
    job_id: PathId, body: JobRefund, request: Request, who: _Operator, idempotency_key: RepeatKey = None
) -> Response:
    """Once for each job, as credits that name it. A job that has not ended is refunded by canceling it."""

    def act(conn: Connection[Any], why: Why, wanted: UUID) -> Acted:
        return job_acts.refund_job(conn, why, wanted, amount=body.amount)

    return _act(request, who, idempotency_key, job_id, body, act, body.reason)


@router.post("/{job_id}/discard", response_model=ActedView, summary="Give up a job whose answer was lost")
def discard_job(
    job_id: PathId, body: Because, request: Request, who: _Operator, idempotency_key: RepeatKey = None
) -> Response:
    """One that is `reconciling`: it fails and is refunded. Refused where its answer has come meanwhile."""
    return _act(request, who, idempotency_key, job_id, body, job_acts.discard_job, body.reason)


@router.post("/{job_id}/cancel", response_model=ActedView, summary="Cancel a job of any account")
def cancel_any_job(
    job_id: PathId, body: Because, request: Request, who: _Operator, idempotency_key: RepeatKey = None
) -> Response:
    """As its account would: refunded at once if it has not started, else asked to stop."""
    return _act(request, who, idempotency_key, job_id, body, job_acts.cancel_job, body.reason)


@router.post("/{job_id}/replay", response_model=Replayed, summary="Send a job's webhooks again")
def replay_job(
    job_id: PathId, body: Because, request: Request, who: _Operator, idempotency_key: RepeatKey = None
) -> Response:
    """All deliveries of its events, with the same `webhook-id`; those of endpoints that are switched off are left out."""
    wanted = id_of(job_id, "job")
    return once(
        who, idempotency_key, asked(request, body),
        lambda conn: {"count": fleet_acts.replay_job(conn, by(who, request), wanted, body.reason)},
    )  # fmt: skip
