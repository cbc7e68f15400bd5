"""How the queues stand and who waits in them, for operators."""

from datetime import datetime
from typing import Any
from uuid import UUID

from psycopg import Connection
from pydantic import BaseModel

from models.jobs.queues import read_queues

WAITING_ACCOUNTS = 20


class QueueView(BaseModel):
    """One queue."""

    queue: str
    depth: int  # dispatched, and no worker has taken them yet
    in_flight: int
    waiting: int  # for a slot of their account
    delayed: int  # for a retry
    reconciling: int
    oldest_seconds: float  # of the jobs that have not started
    succeeded_last_minute: int
    failed_last_minute: int
    canceled_last_minute: int


class WaitingAccount(BaseModel):
    """An account with jobs that wait for a slot, and the oldest of them."""

    account_id: UUID
    queue: str
    jobs: int
    oldest_at: datetime


class Overview(BaseModel):
    """All queues, and the accounts with the longest lines."""

    queues: list[QueueView]
    waiting_accounts: list[WaitingAccount]


def overview(conn: Connection[Any]) -> Overview:
    """Read it. It costs by what is alive and by what has ended in the last minute, never by what is stored."""
    ended = {
        (queue, how): count
        for queue, how, count in conn.execute(
            """select queue, ended, count(*) from jobs where ended_at > app_now() - interval '1 minute'
                 and ended_at <= app_now() group by 1, 2"""
        ).fetchall()
    }
    waiting = conn.execute(
        """select account_id, queue, count(*), min(created_at) from job_runs where not dispatched and wake_at is null
            group by 1, 2 order by 3 desc, 1 limit %s""",
        [WAITING_ACCOUNTS],
    ).fetchall()
    return Overview(
        queues=[
            QueueView(
                **row._asdict(),
                **{f"{how}_last_minute": ended.get((row.queue, how), 0) for how in ("succeeded", "failed", "canceled")},
            )
            for row in read_queues(conn)
        ],
        waiting_accounts=[
            WaitingAccount(account_id=row[0], queue=row[1], jobs=row[2], oldest_at=row[3]) for row in waiting
        ],
    )
