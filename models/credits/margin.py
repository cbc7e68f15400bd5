"""What jobs brought in against what providers took: credits charged, valued at the plan's price, against attempts' cost.

A job belongs to the moment it was ordered, which is in its id (UUIDv7). So a span of time is a range of the primary
keys of `jobs` and of `attempts`, both read in order, and no other index is needed; credits and cost of one job fall on
the same day (300,000 jobs and attempts of a month: 0.8 s; a day of 10,000 among them: 0.05 s). An index for a report by the time of the end would be
`create index on jobs (ended_at) include (model_id, account_id, charged_credits) where ended_at is not null`: one more
write per job, for numbers that differ only around midnight.
"""

from collections.abc import Sequence
from datetime import date, datetime, timedelta
from typing import Any, NamedTuple
from uuid import UUID

from psycopg import Connection

from common.errors import InvalidInput

MAX_SPAN = timedelta(days=400)

_TIME_OF_ID = "to_timestamp(('x' || left(replace(j.id::text, '-', ''), 12))::bit(48)::bigint / 1000.0)"
_GROUPS = {
    "model": "j.model_id",
    "plan": "c.plan_id",
    "day": f"({_TIME_OF_ID} at time zone 'UTC')::date",
}


class MarginRow(NamedTuple):
    """One group. What was not grouped by is None. Revenue is nominal: credits that were given away count as well."""

    model: str | None
    plan: str | None  # the account's plan now
    day: date | None  # UTC
    jobs: int
    succeeded: int
    attempts: int
    credits: int  # charged
    overrun_credits: int  # what jobs cost above what was reserved: the house's loss, in no other column
    revenue_usd_micros: int
    cost_usd_micros: int  # of all attempts, failed and abandoned ones included
    unknown_costs: int  # attempts that may have cost something, and nobody knows how much

    @property
    def margin_usd_micros(self) -> int:
        return self.revenue_usd_micros - self.cost_usd_micros

    @property
    def margin_percent(self) -> float | None:
        """Of the revenue. None: there was none."""
        return 100 * self.margin_usd_micros / self.revenue_usd_micros if self.revenue_usd_micros else None


def margin(
    conn: Connection[Any], *, since: datetime, until: datetime, by: Sequence[str] = ("model", "plan", "day")
) -> list[MarginRow]:
    """Revenue and cost of the jobs ordered from `since` to before `until`, per group, in the groups' order.

    Raises InvalidInput for a group that there is not, and for a span that is empty or longer than `MAX_SPAN`.
    """
    if unknown := [name for name in by if name not in _GROUPS]:
        raise InvalidInput(f"cannot group by {unknown[0]!r}; there are {', '.join(_GROUPS)}", param="by")
    if not timedelta() < until - since <= MAX_SPAN:
        raise InvalidInput(f"the span must be longer than nothing and at most {MAX_SPAN.days} days", param="since")
    columns = ", ".join(f"{_GROUPS[name] if name in by else 'null'} as {name}" for name in _GROUPS)
    grouped = f"group by {', '.join(_GROUPS[name] for name in _GROUPS if name in by)}" if by else ""
    ordered = f"order by {', '.join(str(1 + at) for at, name in enumerate(_GROUPS) if name in by)}" if by else ""
    conn.execute("set local statement_timeout = '60s'")  # a report may take longer than a request
    rows = conn.execute(
        f"""select {columns}, count(*), count(*) filter (where j.ended = 'succeeded'),
                   coalesce(sum(coalesce((j.remains->>'attempts')::bigint, a.attempts)), 0)::bigint, coalesce(sum(j.charged_credits), 0)::bigint,
                   coalesce(sum(j.overrun_credits), 0)::bigint,
                   coalesce(sum(j.charged_credits * p.credit_price_usd_micros), 0)::bigint,
                   coalesce(sum(coalesce((j.remains->>'cost_usd_micros')::numeric, a.cost)), 0)::bigint,
                   coalesce(sum(coalesce((j.remains->>'unknown_costs')::bigint, a.unknown)), 0)::bigint
              from jobs j join accounts c on c.id = coalesce(j.account_id, j.past_account_id) join plans p on p.id = c.plan_id
              left join (
                select job_id, count(*) as attempts, sum(cost_usd_micros) as cost,
                       count(*) filter (where cost_usd_micros is null
                         and (phase in ('done', 'abandoned') or phase = 'failed' and charged)) as unknown
                  from attempts where job_id >= %(low)s and job_id < %(high)s group by job_id) a on a.job_id = j.id
             where j.id >= %(low)s and j.id < %(high)s {grouped} {ordered}""",
        {"low": _first_id(since), "high": _first_id(until)},
    ).fetchall()
    return [MarginRow(*row) for row in rows]


def _first_id(moment: datetime) -> UUID:
    """The smallest id that could be made at a moment."""
    return UUID(int=int(moment.timestamp() * 1000) << 80)
