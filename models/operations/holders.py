"""What holds an account's credits just now: its living jobs and open holds."""

from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

from psycopg import Connection

MOST_HELD = 20


class HeldBy(NamedTuple):
    """One thing that holds credits. `kind`: job or hold."""

    kind: str
    id: UUID
    name: str
    status: str
    credits: int
    created_at: datetime


def held_by(conn: Connection[Any], account_id: UUID, *, limit: int = MOST_HELD) -> list[HeldBy]:
    """The newest of each kind. It costs by what lives of the account, never by its history."""
    rows = conn.execute(
        """(select 'job', r.job_id, r.model_id, r.status, v.amount, r.created_at
              from (select * from job_runs where account_id = %(account)s order by job_id desc limit %(limit)s) r
              join reservations v on v.job_id = r.job_id where v.amount > 0)
           union all
           (select 'hold', id, coalesce(reference, 'hold'), 'waiting', amount - settled - released, created_at from holds
             where account_id = %(account)s and ended is null order by id desc limit %(limit)s)
           order by 6 desc limit %(limit)s""",
        {"account": account_id, "limit": limit},
    ).fetchall()
    return [HeldBy(*row) for row in rows]
