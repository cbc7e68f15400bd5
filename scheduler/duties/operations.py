"""Duties for what operators have ordered: the end of pauses."""

from uuid import UUID

from models.db import transaction
from models.jobs import pauses
from models.jobs.pauses import EndedPause
from scheduler.turns import Aside, Did, Patience, each
from workers.doorbell import ring

_released = Aside()


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
