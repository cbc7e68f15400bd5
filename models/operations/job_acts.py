"""What operators do to one job: retry, refund, discard, cancel. Each has its reason, and is in the audit log with it.

The account's lock is first in each, so that what is decided is true when it is written. What is to be done after the commit
(rings, a provider's slot) is returned.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from psycopg import Connection
from uuid_utils.compat import uuid7

from common.errors import ActRefused, JobNotEnded, NotFound, UnknownModel
from models.absence import refuse_absent
from models.access import audit_log
from models.access.audit_log import By
from models.catalogue.entries import Offer, offers
from models.credits import giving
from models.events import endpoints
from models.jobs import reads, reconcile, submit
from models.jobs.admission import Accepted, Order
from models.jobs.cancel import cancel
from models.jobs.dispatch import Ring
from models.jobs.reads import JobRow
from models.jobs.rescues import Slot
from models.jobs.states import RunStatus
from models.locks import lock_account
from models.operations.story import refund_ref


@dataclass(frozen=True, slots=True)
class Acted:
    """What was done. `credits`: that were reserved anew by a retry, else given back, or are when the job has stopped."""

    job_id: UUID
    credits: int
    new_job_id: UUID | None = None
    rings: list[Ring] = field(default_factory=list)
    slot: Slot | None = None


@dataclass(frozen=True, slots=True)
class Why:
    """Who does it and why. `bulk`: the bulk run that it is part of, which repeats nothing that somebody has done already, and
    acts only on jobs that stand in the `status` of its filter.
    """

    by: By
    reason: str
    bulk: UUID | None = None
    status: str | None = None


def retry_job(conn: Connection[Any], why: Why, job_id: UUID, known: Mapping[str, Offer] | None = None) -> Acted:
    """Order an ended job again, as a new job at today's price; or try a parked one again, whose provider began nothing, as
    its operator has found out. `known`: the catalogue, where the caller has read it.

    Raises NotFound, JobNotEnded, UnknownModel, InputErased, InvalidInput, ActRefused, and whatever refuses the order.
    """
    row = _locked(conn, why, job_id)
    if row.run_status == RunStatus.RECONCILING:
        done = reconcile.decide(conn, job_id, again=True)
        _record(conn, why, "job.retry", job_id, again=True)
        return Acted(job_id, 0, rings=done.ended.rings, slot=done.slot)
    if row.ended is None:
        raise JobNotEnded("only a job that has ended can be ordered again, or one that is reconciling", param="id")
    if why.bulk is not None and conn.execute("select 1 from jobs where retry_of = %s limit 1", [job_id]).fetchone():
        raise ActRefused("it was ordered again already", param="id", why="retried_already")
    offer = (offers(conn) if known is None else known).get(row.model_id)
    if offer is None:
        raise UnknownModel(f"model {row.model_id} is no longer offered", param="id")
    kept = reads.webhook(conn, job_id)
    order = Order(
        uuid7(), row.account_id, offer, offer.checked(row.given()), queue=row.queue, retry_of=job_id, labels=row.labels,
        webhook=endpoints.for_job_again(row.account_id, kept),
    )  # fmt: skip
    answer = submit.submit(conn, [order], wait=True)[0]
    if isinstance(answer, Accepted):
        _record(conn, why, "job.retry", job_id, job=answer.job_id, reserved=answer.price_credits)
        rings = [Ring(answer.job_id, answer.queue)] if answer.dispatched else []
        return Acted(job_id, answer.price_credits, new_job_id=answer.job_id, rings=rings)
    assert isinstance(answer, Exception)  # noqa: S101 - who may wait is never told Locked
    raise answer


def refund_job(conn: Connection[Any], why: Why, job_id: UUID, *, amount: int | None = None) -> Acted:
    """Give back what an ended job was charged, or part of it, once: as a grant that names the job, since what was spent stays
    spent. Raises NotFound, JobNotEnded, ActRefused.
    """
    row = _locked(conn, why, job_id)
    if row.ended is None:
        raise JobNotEnded("a job that has not ended is refunded by canceling it", param="id")
    charged = row.charged_credits or 0
    wanted = charged if amount is None else amount
    if not 1 <= wanted <= charged:
        why_not = "nothing_charged" if charged == 0 else "more_than_charged"
        raise ActRefused(
            f"the job was charged {charged} credits; that is what can be given back", param="amount", why=why_not
        )
    grant = giving.give(
        conn, why.by, row.account_id, kind="goodwill", amount=wanted, ref=refund_ref(job_id), reason=why.reason, job_id=job_id
    )  # fmt: skip
    if grant is None:
        raise ActRefused("the job was refunded before", param="id", why="refunded_already")
    _record(conn, why, "job.refund", job_id, amount=wanted, grant=grant)
    return Acted(job_id, wanted)


def discard_job(conn: Connection[Any], why: Why, job_id: UUID) -> Acted:
    """Give up a job whose provider's answer was lost: it fails and is refunded. Raises NotFound, ActRefused where it is not
    parked, a worker asks for it just now, or its answer has come.
    """
    row = _locked(conn, why, job_id)
    try:
        done = reconcile.decide(conn, job_id, again=False)
    except NotFound as error:
        raise ActRefused(error.detail, param="id", why="not_parked") from None
    _record(conn, why, "job.discard", job_id, credits=row.price_credits)
    return Acted(job_id, row.price_credits, rings=done.ended.rings, slot=done.slot)


def cancel_job(conn: Connection[Any], why: Why, job_id: UUID) -> Acted:
    """Cancel a job: refunded at once if it has not started, else asked to stop. Raises NotFound, NotCancelable."""
    row = _locked(conn, why, job_id)
    done = cancel(conn, job_id)
    _record(conn, why, "job.cancel", job_id, ended=done.ended)
    return Acted(job_id, row.price_credits if row.ended is None else 0, rings=done.rings)


JobAct = Callable[[Connection[Any], Why, UUID], Acted]


def _locked(conn: Connection[Any], why: Why, job_id: UUID) -> JobRow:
    """A job as it stands under its account's lock. Raises NotFound, JobForgotten, ActRefused."""
    owner = conn.execute("select account_id from jobs where id = %s", [job_id]).fetchone()
    if owner is None or owner[0] is None:
        refuse_absent(conn, job_id)
    lock_account(conn, owner[0])
    row = reads.jobs_by_id(conn, [job_id])[job_id]
    status = row.ended or row.run_status
    if why.status not in (None, status):
        raise ActRefused(f"it is {status} by now", param="id", why="changed")
    return row


def _record(conn: Connection[Any], why: Why, action: str, job_id: UUID, **details: Any) -> None:
    bulk = {} if why.bulk is None else {"bulk": str(why.bulk)}
    audit_log.record(conn, why.by, action, str(job_id), reason=why.reason, **details, **bulk)
