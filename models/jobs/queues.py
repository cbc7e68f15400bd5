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
    """Depth, in flight, waiting and oldest age per queue, from the living jobs. Those in a line are counted in an index that has all that is
    asked of them, and no row is read: what is put back stands apart in it, and nothing else there has ever begun.
    """
    rows = conn.execute(
        f"""select q.queue, coalesce(sum(x.depth), 0)::bigint, coalesce(sum(x.in_flight), 0)::bigint, coalesce(sum(x.waiting), 0)::bigint,
                  coalesce(sum(x.delayed), 0)::bigint, coalesce(sum(x.reconciling), 0)::bigint,
                  coalesce(extract(epoch from app_now() - min(x.oldest_at)), 0)::float
             from unnest(array['interactive', 'batch']) as q(queue) left join (
               select queue, 0 as depth, 0 as in_flight, count(*) as waiting, 0 as delayed, 0 as reconciling,
                      min(created_at) filter (where not requeued) as oldest_at
                 from job_runs where not dispatched and wake_at is null group by queue
               union all
               select queue, 0, 0, count(*) filter (where wake_at = {NEVER}), count(*) filter (where wake_at < {NEVER}), 0,
                      min(created_at) filter (where started_at is null)
                 from job_runs where not dispatched and wake_at is not null group by queue
               union all
               select queue, count(*) filter (where status = 'queued'), count(*) filter (where status = 'running'), 0, 0,
                      count(*) filter (where status = 'reconciling'), min(created_at) filter (where started_at is null)
                 from job_runs where dispatched group by queue) x on x.queue = q.queue
            group by 1 order by 1 desc"""
    ).fetchall()
    return [QueueRow(*row) for row in rows]
