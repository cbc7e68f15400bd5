"""Duties that move living jobs: ring, retry, rescue."""

from collections.abc import Mapping, Sequence
from uuid import UUID

from common.settings import settings
from common.telemetry import jobs
from models.db import transaction
from models.jobs import rescues, ringing, steps
from models.jobs.dispatch import Ring, dispatch
from scheduler.turns import Aside, Did, Patience, each
from workers import doorbell
from workers.calls.limits import pressure
from workers.doorbell import ring

_retries, _rooms, _lapsed = Aside(), Aside(), Aside()


def ring_due(batch: int) -> Did:
    """Ring jobs that are due and that nobody holds: polls, and messages that were lost. While what carries messages is away
    nothing is counted, so that all that is due is rung as soon as it is back.
    """
    if doorbell.resting():
        return Did(0)
    with transaction() as conn:
        due = ringing.due(conn, batch)
    if due and not doorbell.ring_due(due, _jobs_by_queue):
        with transaction() as conn:
            ringing.not_rung(conn, due, doorbell.REST_SECONDS)
        return Did(0)
    return Did(len(due), more=len(due) >= batch)


def _jobs_by_queue() -> Mapping[str, int]:
    with transaction() as conn:
        return ringing.unclaimed(conn)


def retry_due(batch: int) -> Did:
    """Put retries whose pause is over at the front of their account's queue."""
    with transaction() as conn:
        accounts = steps.accounts_to_dispatch(conn, batch, without=_retries.ids())
    return _dispatch(_retries, accounts)


def fill_slots(batch: int) -> Did:
    """Give free slots to waiting jobs: a plan may have grown since they were queued."""
    with transaction() as conn:
        accounts = steps.accounts_with_room(conn, batch, without=_rooms.ids())
    return _dispatch(_rooms, accounts)


def _dispatch(aside: Aside, accounts: Sequence[UUID]) -> Did:
    def act(account_id: UUID, patience: Patience) -> int:
        with patience.locked(account_id) as conn:
            joined = steps.requeue_due(conn, account_id)
            rings = dispatch(conn, account_id)
        ring(rings)
        sent.extend(rings)
        return len(rings) + joined

    sent: list[Ring] = []
    did = each(aside, accounts, act, of=lambda account_id: account_id)
    return Did(len(sent), more=did.more, errors=did.errors)


def rescue(batch: int) -> Did:
    """Take lapsed leases away and ring; after too many rescues the job fails, refunded, its cost unknown."""

    def act(job: tuple[UUID, UUID, int, int], _: Patience) -> int:
        job_id, account_id, token, times = job
        if times >= settings().max_rescues:
            _give_up(account_id, job_id, token)
            return 1
        with transaction() as conn:
            rung = steps.rescue(conn, job_id, token)
        ring([rung] if rung else [])
        return 1

    with transaction() as conn:
        lapsed = steps.lapsed(conn, batch, without=_lapsed.ids())
    return each(_lapsed, lapsed, act, of=lambda job: job[0])


def _give_up(account_id: UUID, job_id: UUID, token: int) -> None:
    with transaction() as conn:
        given_up = rescues.give_up(conn, account_id, job_id, token)
    if given_up is None:
        return
    ring(given_up.ended.rings)
    jobs.ended(job_id, account_id, "failed", code=given_up.code)
    if given_up.slot is not None:
        pressure().release(*given_up.slot)
