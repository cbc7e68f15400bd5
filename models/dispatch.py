"""Fair dispatch: queued jobs take their account's free slots (DESIGN section 5)."""

from typing import Any, NamedTuple
from uuid import UUID

from psycopg import Connection

from models.settings import settings


class Ring(NamedTuple):
    """A job that a worker should look at, and the queue it is in."""

    job_id: UUID
    queue: str


def dispatch(conn: Connection[Any], account_id: UUID) -> list[Ring]:
    """Give the account's free slots to the jobs at the head of its line. The caller holds the account's lock, and sends
    the returned rings after the commit.

    Order: jobs put back after a retry, then priority, then time. A job whose model has all its slots in use is passed
    over, so it does not hold up the others.
    """
    found = conn.execute(
        """select p.slots - a.slots_in_use from accounts a join plans p on p.id = a.plan_id where a.id = %s""",
        [account_id],
    ).fetchone()
    free = found[0] if found else 0
    rings: list[Ring] = []
    while free > 0:
        row = conn.execute(_NEXT, [account_id, account_id, settings().ring_again_seconds]).fetchone()
        if row is None:
            break
        rings.append(Ring(row[0], row[1]))
        free -= 1
    if rings:
        conn.execute("update accounts set slots_in_use = slots_in_use + %s where id = %s", [len(rings), account_id])
    return rings


_NEXT = """
with full_models as (
  select r.model_id from job_runs r join models m on m.id = r.model_id and m.current
   where r.account_id = %s and r.dispatched and m.entry->>'slots' is not null
   group by r.model_id, m.entry having count(*) >= (m.entry->>'slots')::int
), head as (
  select job_id from job_runs
   where account_id = %s and not dispatched and wake_at is null
     and model_id not in (select model_id from full_models)
   order by requeued desc, priority desc, job_id limit 1 for update
)
update job_runs r set dispatched = true, rings = 0, wake_at = app_now() + make_interval(secs => %s)
  from head where r.job_id = head.job_id returning r.job_id, r.queue
"""
