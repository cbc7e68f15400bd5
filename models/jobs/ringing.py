"""Which jobs are due and held by nobody, and that they were rung, or were not."""

from collections.abc import Sequence
from typing import Any, NamedTuple
from uuid import UUID

from psycopg import Connection

from common.settings import settings
from models.jobs.polls import WAITING

LEFT_SECONDS = 3.0  # polls that are due are left to the workers' pollers for so long


class Due(NamedTuple):
    """A dispatched job that is due. `again`: a message of it was sent before, and nobody has claimed it since."""

    job_id: UUID
    queue: str
    token: int
    again: bool


def due(conn: Connection[Any], limit: int) -> list[Due]:
    """Dispatched jobs that are due and that nobody holds: a message that was lost or waits in a long line, or a poll that no
    worker has taken together with others.

    Each is rung again with growing pauses until somebody claims it; `rings` above 0 says that it is due.
    """
    rows = conn.execute(
        f"""with due as materialized (
             select r.job_id from job_runs r where r.wake_at <= app_now() and r.lease_owner is null and r.dispatched
                and not (r.wake_at > app_now() - make_interval(secs => %s) and {WAITING} and exists (
                  select 1 from attempts a where a.job_id = r.job_id and a.ended_at is null and a.phase = 'accepted'))
              order by r.wake_at limit %s for update skip locked
           )
           update job_runs r set rings = r.rings + 1,
                  wake_at = app_now() + make_interval(secs => %s * power(2, least(r.rings, 2)))
             from due where r.job_id = due.job_id
           returning r.job_id, r.queue, r.token, r.status = 'queued' or r.rings > 1""",
        [LEFT_SECONDS, limit, settings().ring_again_seconds],
    ).fetchall()
    return [Due(*row) for row in rows]


def unclaimed(conn: Connection[Any]) -> dict[str, int]:
    """How many jobs there are, by queue, that were rung and that nobody has claimed since."""
    rows = conn.execute(
        """select queue, count(*) from job_runs
            where dispatched and lease_owner is null and (status = 'queued' or rings > 0) group by queue"""
    ).fetchall()
    return dict(rows)


def not_rung(conn: Connection[Any], jobs: Sequence[Due], after_seconds: float) -> None:
    """Take a ring back that could not be sent: it does not count, and the pause after it does not grow."""
    conn.execute(
        """with theirs as materialized (
             select r.job_id from job_runs r join unnest(%s::uuid[], %s::bigint[]) as d(job_id, token)
                 on r.job_id = d.job_id and r.token = d.token
              where r.lease_owner is null and r.dispatched order by r.job_id for no key update of r
           )
           update job_runs r set rings = greatest(r.rings - 1, 0), wake_at = app_now() + make_interval(secs => %s)
             from theirs where r.job_id = theirs.job_id""",
        [[each.job_id for each in jobs], [each.token for each in jobs], after_seconds],
    )
