"""What the last hour, day or week looked like, for charts: as many points as fit a drawing, whatever lies between them.

An hour is read from the jobs that ended in it, which an index leads to; what is longer, from the quarters of an hour. How long jobs took is
asked of a sample: so many of each piece of time, found by the times in their ids. So a chart costs by its span, never by what is stored.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any, NamedTuple
from uuid import UUID

from psycopg import Connection

from models.usage.entries import ALL_USAGE

SAMPLE = 200  # jobs of each piece
MAX_FAILED = 2000  # failed jobs whose errors are counted, the newest
BUSIEST = 5
TOP_ERRORS = 6


class EndedPiece(NamedTuple):
    """What ended in one piece of time. `refunded` None: not known of quarters."""

    at: datetime
    succeeded: int
    failed: int
    canceled: int
    settled: int
    refunded: int | None
    value_usd_micros: int  # settled credits at the plan's price
    cost_usd_micros: int


class TookPiece(NamedTuple):
    """Seconds of the sampled jobs that were ordered in one piece of time. None: there are none."""

    at: datetime
    median: float | None
    slow: float | None  # 95 of 100 took no longer
    interactive_wait: float | None  # 95 of 100 began no later
    batch_wait: float | None


class ErrorCount(NamedTuple):
    """How many of the newest failed jobs failed with a code."""

    code: str
    jobs: int


class BusyAccount(NamedTuple):
    """An account by what of it ended."""

    account_id: UUID
    name: str
    ended: int
    settled: int


def ended_in_hour(conn: Connection[Any], since: datetime, step: timedelta) -> list[EndedPiece]:
    """Of the jobs that ended since then, which is not long ago."""
    conn.execute("set local statement_timeout = '10s'")
    conn.execute("set local enable_hashjoin = on")  # accounts and plans are few beside an hour's jobs
    rows = conn.execute(
        """select date_bin(%(step)s, j.ended_at, %(since)s), count(*) filter (where j.ended = 'succeeded'),
                  count(*) filter (where j.ended = 'failed'), count(*) filter (where j.ended = 'canceled'),
                  coalesce(sum(j.charged_credits), 0)::bigint, coalesce(sum(j.price_credits - j.charged_credits), 0)::bigint,
                  coalesce(sum(j.charged_credits * p.credit_price_usd_micros), 0)::bigint, coalesce(sum(t.cost), 0)::bigint
             from jobs j join accounts a on a.id = j.account_id join plans p on p.id = a.plan_id
             left join lateral (select sum(cost_usd_micros) as cost from attempts where job_id = j.id) t on true
            where j.ended_at >= %(since)s group by 1 order by 1""",
        {"since": since, "step": step},
    ).fetchall()
    return [EndedPiece(*row) for row in rows]


def ended_in_quarters(conn: Connection[Any], since: datetime, step: timedelta) -> list[EndedPiece]:
    """Of the quarters of an hour since then."""
    conn.execute("set local statement_timeout = '20s'")
    conn.execute("set local enable_hashjoin = on")
    rows = conn.execute(
        f"""select date_bin(%(step)s, u.at, %(since)s), sum(u.succeeded)::bigint, sum(u.failed)::bigint, sum(u.canceled)::bigint,
                   sum(u.credits)::bigint, null, sum(u.credits * p.credit_price_usd_micros)::bigint, sum(u.cost_usd_micros)::bigint
              from (select at, account_id, succeeded, failed, canceled, credits, cost_usd_micros from {ALL_USAGE} where at >= %(since)s) u
              join accounts a on a.id = u.account_id join plans p on p.id = a.plan_id
             group by 1 order by 1""",
        {"since": since, "step": step},
    ).fetchall()
    return [EndedPiece(*row) for row in rows]


def took(conn: Connection[Any], times: Sequence[datetime], step: timedelta) -> list[TookPiece]:
    """How long jobs took and waited, of the first so many that were ordered in each piece of time."""
    rows = conn.execute(
        f"""select b.at, percentile_cont(0.5) within group (order by s.took) filter (where s.ended = 'succeeded'),
                   percentile_cont(0.95) within group (order by s.took) filter (where s.ended = 'succeeded'),
                   percentile_cont(0.95) within group (order by s.waited) filter (where s.queue = 'interactive'),
                   percentile_cont(0.95) within group (order by s.waited) filter (where s.queue = 'batch')
              from unnest(%s::timestamptz[], %s::uuid[], %s::uuid[]) as b(at, low, high)
             cross join lateral (
               select extract(epoch from ended_at - created_at)::float as took,
                      extract(epoch from coalesce(started_at, ended_at, app_now()) - created_at)::float as waited, queue, ended
                 from jobs where id >= b.low and id < b.high order by id limit {SAMPLE}) s
             group by b.at order by b.at""",
        [list(times), [_id_at(each) for each in times], [_id_at(each + step) for each in times]],
    ).fetchall()
    return [TookPiece(*row) for row in rows]


def errors_lately(conn: Connection[Any], since: datetime) -> list[ErrorCount]:
    """What the newest failed jobs failed with, the most frequent first."""
    rows = conn.execute(
        f"""select coalesce(error_code, 'unknown'), count(*) from (
              select error_code from jobs where ended = 'failed' and id >= %s order by id desc limit {MAX_FAILED}) f
             group by 1 order by 2 desc, 1 limit {TOP_ERRORS}""",
        [_id_at(since)],
    ).fetchall()
    return [ErrorCount(*row) for row in rows]


def busiest(conn: Connection[Any], since: datetime) -> list[BusyAccount]:
    """The accounts of which most jobs ended since the quarter of an hour of then."""
    rows = conn.execute(
        f"""select b.account_id, coalesce(u.email, u.subject, b.account_id::text), b.ended, b.settled from (
              select account_id, sum(succeeded + failed + canceled)::bigint as ended, sum(credits)::bigint as settled from {ALL_USAGE}
               where at >= date_bin('15 min', %s::timestamptz, 'epoch') group by 1 having sum(succeeded + failed + canceled) > 0
               order by 2 desc, 1 limit {BUSIEST}) b
              join accounts a on a.id = b.account_id left join users u on u.id = a.user_id order by b.ended desc, b.account_id""",
        [since],
    ).fetchall()
    return [BusyAccount(*row) for row in rows]


def spent_this_month(conn: Connection[Any], account_id: UUID) -> tuple[int, int]:
    """Credits settled since the first of the month (UTC), and what providers took for them, in millionths of a dollar."""
    row = conn.execute(
        f"""select coalesce(sum(credits), 0)::bigint, coalesce(sum(cost_usd_micros), 0)::bigint from {ALL_USAGE}
             where account_id = %s and at >= date_trunc('month', app_now() at time zone 'UTC') at time zone 'UTC'""",
        [account_id],
    ).fetchone()
    assert row is not None  # noqa: S101 - sums of all rows
    return row[0], row[1]


def _id_at(moment: datetime) -> UUID:
    """The smallest id that could be made at a moment."""
    return UUID(int=max(0, int(moment.timestamp() * 1000)) << 80)
