"""A database that was restored from a backup is made safe to run, in one transaction: it repeats nothing that the old system may
have done since at somebody else's (a provider, a payment company), and begins nothing until an operator has looked.
"""

from datetime import datetime
from typing import Any, NamedTuple

from psycopg import Connection

from models.access import audit_log
from models.access.audit_log import By
from models.events import events
from models.jobs import pauses, restored
from models.jobs.tables import QUEUES
from models.locks import lock_account
from models.payments import refills

WHY = "restored from a backup"


class Restored(NamedTuple):
    """What was done with what lived in a backup. `parked`: jobs for an operator to decide on."""

    parked: int
    asked: int
    waiting: int
    refills_paused: int
    charges_dropped: int  # refills that were ordered, and that their company may have heard of since
    refunds_held: int  # ordered and not known to be taken: to be looked at, and ordered again
    bulk_runs_stopped: int


def make_safe(conn: Connection[Any], by: By, revision: str, taken_at: datetime, *, went_on: bool) -> Restored:
    """Take over a backup of that migration and time. `went_on`: the old system may have gone on after it, for how long nobody knows."""
    conn.execute("set local statement_timeout = 0")
    conn.execute("set local enable_seqscan = on")
    conn.execute("delete from alembic_version")
    conn.execute("insert into alembic_version (version_num) values (%s)", [revision])
    events.make_partitions(conn)
    jobs = restored.make_safe(conn, taken_at, went_on=went_on)
    conn.execute("delete from worker_processes")
    conn.execute(
        "update delivery_queues set leased_by = null, token = token + 1, wake_at = app_now() where leased_by is not null"
    )
    done = Restored(
        *jobs,
        refills_paused=_pause_refills(conn) if went_on else 0,
        charges_dropped=_drop_charges(conn) if went_on else 0,
        refunds_held=_hold_refunds(conn) if went_on else 0,
        bulk_runs_stopped=conn.execute("update bulk_runs set status = 'stopped' where status = 'running'").rowcount,
    )
    for queue in QUEUES:
        pauses.pause(conn, by, "queue", queue, WHY, seconds=pauses.MAX_SECONDS)
    audit_log.record(
        conn, by, "database.restore", "database", taken_at=taken_at, went_on=went_on, reason=WHY, **done._asdict()
    )
    return done


def _pause_refills(conn: Connection[Any]) -> int:
    """What was bought since is not known here, so that it would be bought a second time: the owners are asked."""
    rows = conn.execute("select account_id from refills where paused is null order by account_id").fetchall()
    for (account_id,) in rows:
        lock_account(conn, account_id)
        refills.pause(conn, account_id, WHY)
    return len(rows)


def _drop_charges(conn: Connection[Any]) -> int:
    """Charges of kept cards that may have been made since: a company remembers their keys for a day only."""
    return conn.execute(
        """update payments set money = 'failed', status = 'failed', reason = %s, check_at = null, token = token + 1
            where purpose = 'refill' and company_id is null and money = 'pending'""",
        [WHY],
    ).rowcount


def _hold_refunds(conn: Connection[Any]) -> int:
    """Refunds that may have been made since, for the same reason. An admin orders those again that the company does not have."""
    return conn.execute(
        "update refunds set refused = %s, check_at = null where check_at is not null and sent_at is null", [WHY]
    ).rowcount
