"""Duties that move living jobs: ring, retry, rescue."""

from uuid import UUID

from models import rescues, runs
from models.db import transaction
from models.dispatch import dispatch
from models.settings import settings
from workers.enqueue import ring
from workers.pressure import pressure


def ring_due(batch: int) -> int:
    """Ring jobs that are due and that nobody holds: polls, and messages that were lost."""
    with transaction() as conn:
        due = runs.ring_due(conn, batch)
    ring(due)
    return len(due)


def retry_due(batch: int) -> int:
    """Put retries whose pause is over at the head of their account's line."""
    with transaction() as conn:
        accounts = runs.accounts_to_dispatch(conn, batch)
    return _dispatch(accounts)


def fill_slots(batch: int) -> int:
    """Give free slots to waiting jobs: a plan may have grown since they were queued."""
    with transaction() as conn:
        accounts = runs.accounts_with_room(conn, batch)
    return _dispatch(accounts)


def _dispatch(accounts: list[UUID]) -> int:
    sent = 0
    for account_id in accounts:
        with transaction() as conn:
            conn.execute("select 1 from accounts where id = %s for no key update", [account_id])
            runs.join_line(conn, account_id)
            rings = dispatch(conn, account_id)
        ring(rings)
        sent += len(rings)
    return sent


def rescue(batch: int) -> int:
    """Take lapsed leases away and ring; after too many rescues the job fails, refunded, its cost unknown."""
    with transaction() as conn:
        lapsed = runs.lapsed(conn, batch)
    rescued = 0
    for job_id, account_id, token, times in lapsed:
        if times >= settings().max_rescues:
            _give_up(account_id, job_id, token)
        else:
            with transaction() as conn:
                rung = runs.rescue(conn, job_id, token)
            ring([rung] if rung else [])
        rescued += 1
    return rescued


def _give_up(account_id: UUID, job_id: UUID, token: int) -> None:
    with transaction() as conn:
        given_up = rescues.give_up(conn, account_id, job_id, token)
    if given_up is None:
        return
    ring(given_up.ended.rings, told=[account_id])
    if given_up.slot is not None:
        pressure().release(*given_up.slot)
