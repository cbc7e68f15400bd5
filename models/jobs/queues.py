"""How the queues stand, for operators."""

from typing import Any, NamedTuple

from psycopg import Connection

from models.columns import NEVER


class QueueRow(NamedTuple):
    """One queue as an operator sees it."""

    queue: str
    depth: int  # dispatched and not claimed
    in_flight: int  # claimed, or at a provider
    waiting: int  # for a slot, or for others of its batch
    delayed: int  # for a retry
    reconciling: int
    oldest_seconds: float  # of the jobs not yet started


def read_queues(conn: Connection[Any]) -> list[QueueRow]:
    """Depth, in flight, waiting and oldest age per queue, from the living jobs."""
    rows = conn.execute(
        f"""select q.queue,
                  count(*) filter (where r.status = 'queued' and r.dispatched),
                  count(*) filter (where r.status = 'running'),
                  count(*) filter (where not r.dispatched and coalesce(r.wake_at, {NEVER}) = {NEVER}),
                  count(*) filter (where not r.dispatched and r.wake_at < {NEVER}),
                  count(*) filter (where r.status = 'reconciling'),
                  coalesce(extract(epoch from app_now() - min(r.created_at) filter (where r.started_at is null)), 0)::float
             from unnest(array['interactive', 'batch']) as q(queue) left join job_runs r on r.queue = q.queue
            group by 1 order by 1 desc"""
    ).fetchall()
    return [QueueRow(*row) for row in rows]
