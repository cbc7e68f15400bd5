"""Fair dispatch: queued jobs take their account's free slots (DESIGN section 5)."""

from typing import Any, NamedTuple
from uuid import UUID

from psycopg import Connection

from common.settings import settings


class Ring(NamedTuple):
    """A job that a worker should look at, and the queue it is in."""

    job_id: UUID
    queue: str


def dispatch(conn: Connection[Any], account_id: UUID) -> list[Ring]:
    """Give the account's free slots to the jobs at the front of its queue. The caller holds the account's lock, and sends
    the returned rings after the commit.

    Order: jobs put back after a retry, then priority, then time. A job whose model has all its slots in use is passed
    over, so it does not hold up the others.
    """
    rows = conn.execute(
        """select d.job_id, d.queue from accounts a join plans p on p.id = a.plan_id,
                  dispatch_account_v3(p_account => a.id, p_free => p.slots - a.slots_in_use, p_ring_again => %(ring_again)s) d
            where a.id = %(account)s""",
        {"ring_again": settings().ring_again_seconds, "account": account_id},
    ).fetchall()
    return [Ring(*row) for row in rows]
