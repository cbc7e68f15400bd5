"""Duties that move living jobs: ring, retry, rescue."""

from uuid import UUID

from models import ending, runs
from models.db import transaction
from models.dispatch import Ring, dispatch
from models.ending import AttemptEnd, Ending
from models.settings import settings
from workers.enqueue import ring


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
    for job_id, account_id, token, rescues in lapsed:
        if rescues >= settings().max_rescues:
            ring(_give_up(account_id, job_id, token), told=[account_id])
        else:
            with transaction() as conn:
                rung = runs.rescue(conn, job_id, token)
            ring([rung] if rung else [])
        rescued += 1
    return rescued


def _give_up(account_id: UUID, job_id: UUID, token: int) -> list[Ring]:
    with transaction() as conn:
        # The account first, then the run: the lapsed lease is checked again under both locks.
        conn.execute("select 1 from accounts where id = %s for no key update", [account_id])
        lapsed = conn.execute(
            """select 1 from job_runs where job_id = %s and token = %s and lease_owner is not null
                  and wake_at <= app_now() for update""",
            [job_id, token],
        ).fetchone()
        if lapsed is None:
            return []
        live = conn.execute(
            "select number from attempts where job_id = %s and phase in ('intent', 'accepted', 'unknown')", [job_id]
        ).fetchone()
        why = f"its worker was lost {settings().max_rescues} times"
        attempt = AttemptEnd(live[0], "abandoned", "worker_lost", why) if live else None
        ended = ending.end(
            conn,
            account_id,
            job_id,
            Ending("failed", error_code="worker_lost", error_message=why, attempt=attempt),
            token=token,
        )
    return ended.rings if ended else []
