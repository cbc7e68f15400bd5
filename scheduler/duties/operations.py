"""Duties for what operators have ordered: the end of pauses, and bulk runs."""

from uuid import UUID

from common.errors import Busy, DomainError, Unavailable
from common.faultpoints import reached
from models.catalogue.entries import offers
from models.db import CommitUnknown, transaction
from models.jobs import pauses
from models.jobs.dispatch import Ring
from models.jobs.pauses import EndedPause
from models.operations import bulk, spending
from models.operations.bulk import Overtaken, Slice
from scheduler.turns import Aside, Did, Patience, each, log
from workers.calls.limits import pressure
from workers.doorbell import ring

_released = Aside()
TRIES = 5  # for a job whose account is locked; then it is passed over
_tries: dict[tuple[UUID, UUID], int] = {}  # by run and job, of this process


def release_pauses(batch: int) -> Did:
    """Dispatch what a pause that is over has held back, so many accounts at a time, then forget it. An account that is locked is
    passed over: `fill_slots` comes by it later.
    """
    with transaction() as conn:
        ended = next(iter(pauses.ended_pauses(conn)), None)
        accounts = pauses.waiting_accounts(conn, ended, batch) if ended else []
    if ended is None:
        return Did(0)
    if not accounts:
        with transaction() as conn:
            pauses.finish(conn, ended)
        return Did(1, more=True)
    did = each(
        _released, accounts, lambda account_id, patience: _release(ended, account_id, patience), of=lambda one: one
    )
    with transaction() as conn:
        pauses.pass_over(conn, ended, accounts[-1])
    return Did(did, more=True, errors=did.errors)


def _release(ended: EndedPause, account_id: UUID, patience: Patience) -> int:
    with patience.locked(account_id) as conn:
        rings = pauses.release(conn, ended, account_id)
    ring(rings)
    return 1


def watch_spending(_batch: int) -> Did:
    """Pause each provider that has cost as much today as it may."""
    with transaction() as conn:
        spent = spending.spent_today(conn)
    paused = 0
    for each_one in filter(spending.is_reached, spent):
        with transaction() as conn:
            if spending.pause_until_midnight(conn, each_one):
                paused += 1
                log.warning(
                    "provider %s has cost %d of %d USD micros today: it is paused until midnight in UTC",
                    each_one.provider, each_one.usd_micros, each_one.limit_usd_micros,
                )  # fmt: skip
    return Did(paused)


def carry_out_bulk(batch: int) -> Did:
    """Do so many jobs of each bulk run that is under way, each job in a transaction of its own."""
    with transaction() as conn:
        runs = bulk.running(conn)
    done, more = 0, False
    for run_id in runs:
        with transaction() as conn:
            part = bulk.next_slice(conn, run_id, batch)
        if part is not None:
            did = _carry_out(part)
            done, more = done + did, more or did.more
    return Did(done, more=more)


def _carry_out(part: Slice) -> Did:
    """Do one slice of a run. It is left where it is when somebody stops it, or does it too."""
    rings, place, count = list[Ring](), part.place, 0
    with transaction() as conn:
        known = offers(conn) if part.act == "retry" and part.jobs else {}
    try:
        for job_id in part.jobs:
            try:
                with transaction() as conn:
                    acted = bulk.act_on(conn, part, place, job_id, known)
            except (Overtaken, Unavailable, CommitUnknown):
                raise
            except Exception as error:  # noqa: BLE001 - whatever it is, it is one job's
                if isinstance(error, Busy) and _is_tried_again(part.id, job_id):
                    return Did(count)
                if not isinstance(error, DomainError):
                    log.exception("bulk run %s: job %s is passed over", part.id, job_id)
                with transaction() as conn:
                    bulk.skip(conn, part.id, place, job_id, bulk.why_of(error))
            else:
                rings += acted.rings
                if acted.slot is not None:
                    pressure().release(*acted.slot)
            place, count = job_id, count + 1
            _tries.pop((part.id, job_id), None)
            reached("carry_out_bulk:job")
        with transaction() as conn:
            bulk.finish_slice(conn, part, place)
    except Overtaken:
        log.info("bulk run %s was stopped, or is carried out elsewhere", part.id)
    finally:
        ring(rings)
    return Did(count, more=True)


def _is_tried_again(run_id: UUID, job_id: UUID) -> bool:
    """Whether a job whose account is locked is tried again at the next turn, rather than passed over."""
    tries = _tries[run_id, job_id] = _tries.get((run_id, job_id), 0) + 1
    if tries < TRIES:
        return True
    del _tries[run_id, job_id]
    return False
