"""How jobs stand that have begun: what listeners that may have missed it are told again."""

from collections.abc import Sequence
from typing import Any, NamedTuple
from uuid import UUID

from psycopg import Connection

from models.columns import NEVER

MOST = 500  # jobs per account that run, and as many that wait again


class BegunJob(NamedTuple):
    """A living job, its run's token and its last attempt so far; `reason`: that is over, or found no room, and the job waits for so
    many seconds. None: it runs.
    """

    job_id: UUID
    run: int
    attempt: int
    reason: str | None
    seconds: float


def begun_jobs(conn: Connection[Any], account_ids: Sequence[UUID]) -> dict[UUID, list[BegunJob]]:
    """Of each account the jobs that run, and those that wait for another attempt. What is in line is not looked at."""
    rows = conn.execute(
        f"""select w.id, b.*
              from unnest(%(accounts)s::uuid[]) as w(id) cross join lateral (
                (select r.job_id, r.token, r.attempts, null as reason, 0.0::float as seconds from job_runs r
                  where r.account_id = w.id and r.dispatched and r.status <> 'queued' and r.attempts > 0 limit %(most)s)
                union all
                (select r.job_id, r.token, r.attempts, r.reason, extract(epoch from r.wake_at - app_now())::float from job_runs r
                  where r.account_id = w.id and not r.dispatched and r.wake_at < {NEVER} and r.requeued
                    and r.reason is not null order by r.wake_at limit %(most)s)) b""",
        {"accounts": list(account_ids), "most": MOST},
    ).fetchall()  # fmt: skip
    begun: dict[UUID, list[BegunJob]] = {}
    for account_id, *job in rows:
        begun.setdefault(account_id, []).append(BegunJob(*job))
    return begun
