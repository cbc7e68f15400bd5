"""From an order to its job, and what its client is answered with: the same for every way in which jobs are ordered."""

from collections.abc import Awaitable, Callable
from datetime import datetime
from functools import partial
from typing import Any, NoReturn
from uuid import UUID

from psycopg import Connection
from starlette.requests import Request

from api.services import services
from common.errors import DomainError
from common.telemetry.jobs import ended
from models.absence import refuse_absent
from models.access.scopes import Caller, Reach, check_sees
from models.db import certain, transaction
from models.files import keeping
from models.gallery import indexing
from models.identity.people import Visitor
from models.jobs import cancel, reads
from models.jobs.admission import Accepted, Order
from models.jobs.reads import JobRow
from models.jobs.states import RunStatus
from workers.doorbell import ring


async def see_job(request: Request, job_id: UUID, who: Caller | Visitor) -> JobRow:
    """The caller's job as it stands. Raises NotFound, JobForgotten, and Forbidden where a token is for others."""
    here = services(request.app)
    row = await here.jobs.ask(job_id)
    if row is None or row.account_id != who.account_id:
        await here.places.ordinary.run(partial(_refuse_absent, job_id, who.account_id))
    assert row is not None  # noqa: S101 - what is absent was refused
    check_sees(who.reach, row.id, row.model_id)
    return row


def _refuse_absent(job_id: UUID, account_id: UUID) -> NoReturn:
    with transaction() as conn:
        refuse_absent(conn, job_id, account_id)


Earlier = Callable[[Connection[Any]], UUID | None]  # the job that an order was before, if it was
OrderMaker = Callable[[], Awaitable[Order]]


async def place_order(
    request: Request, who: Caller, key: str | None, asked: bytes, wanted: OrderMaker
) -> tuple[JobRow, bool]:
    """Submit. Returns the job, and whether it was ordered before: a new one from what is known already, a repeated one as it
    stands now. Raises the DomainError that refuses it.
    """
    earlier = None if key is None else partial(reads.job_of_key, account_id=who.account_id, key=key, body_hash=asked)
    job_id, row = await accept_order(request, earlier, wanted)
    return (row, False) if row is not None else (await see_job(request, job_id, who), True)


async def accept_order(request: Request, earlier: Earlier | None, wanted: OrderMaker) -> tuple[UUID, JobRow | None]:
    """Submit. Returns the job's id, and the job as it is at its commit; None: it was ordered before. Raises the DomainError that
    refuses it.

    After the commit nothing may turn the answer into an error. Nor may a repeated request fail because what it once named
    (a model, a file) is gone: its job was accepted.
    """
    here = services(request.app)
    try:
        order = await wanted()
    except DomainError:
        found = await here.places.ordinary.run(partial(_find, earlier)) if earlier else None
        if found is None:
            raise
        return found, None
    accepted = await here.intake.submit(order)
    return accepted.job_id, new_row(order, accepted, accepted.created_at) if accepted.created_at else None


def _find(earlier: Earlier) -> UUID | None:
    with certain() as conn:  # a lost answer is given once
        return earlier(conn)


def new_row(order: Order, accepted: Accepted, created_at: datetime) -> JobRow:
    """A job as it is at its commit, without reading it back. Its place in a line is not known here."""
    return JobRow(
        id=order.job_id, account_id=order.account_id, model_id=order.offer.entry.id, input=dict(order.input),
        queue=accepted.queue, retry_of=order.retry_of, price_credits=accepted.price_credits, charged_credits=None,
        created_at=created_at, started_at=None, ended=None, ended_at=None, attempts=0, error_code=None,
        error_message=None, run_status=RunStatus.QUEUED, dispatched=accepted.dispatched, wake_at=None, progress=None, reason=None,
        cancel_requested=False, ahead=None, slots=accepted.slots, slots_in_use=accepted.slots_in_use,
        typical_seconds=order.offer.entry.typical_seconds, event_number=0, labels=order.labels, assets=[], paused=accepted.paused,
        kind=order.offer.entry.kind, model_version=order.offer.version,
    )  # fmt: skip


def delete_own_outputs(job_id: UUID, account_id: UUID) -> None:
    """Delete what a job of an account has brought; the job stays. Raises NotFound."""
    with certain() as conn:
        keeping.delete(conn, account_id, job_id)
        indexing.forget_deleted(conn, job_id)


def cancel_own(job_id: UUID, account_id: UUID, reach: Reach | None = None) -> JobRow:
    """Cancel a job of an account, and tell whoever waits. Returns it as it stands then. Raises NotFound, NotCancelable, and Forbidden where
    a browser token is for others.
    """
    with certain() as conn:
        if reach is not None:
            found = reads.jobs_by_id(conn, [job_id]).get(job_id)
            if (
                found is not None and found.account_id == account_id
            ):  # of others' jobs it is not told that they are there
                check_sees(reach, job_id, found.model_id)
        canceled = cancel.cancel(conn, job_id, account_id=account_id)
        row = reads.jobs_by_id(conn, [job_id])[job_id]  # here, since nothing may fail after the commit
    ring(canceled.rings)
    if canceled.ended and not canceled.before:
        ended(job_id, account_id, "canceled", model=row.model_id)
    return row
