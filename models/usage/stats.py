"""Figures of a span of days for who runs the place: users, money, credits, jobs.

Each figure is a query over an index that begins with its time, so that a month costs by the month. Days are UTC days.
"""

from collections.abc import Sequence
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any, NamedTuple
from uuid import UUID

from psycopg import Connection

from common.errors import InvalidInput
from models.credits.margin import margin

MAX_DAYS = 400


class UserFigures(NamedTuple):
    """Who there is at the end of the span, who came in it, and who ordered something in it."""

    total: int
    new: int
    active: int


class PlanFigures(NamedTuple):
    """Accounts on a plan now, and how many of them ordered something in the span."""

    plan: str
    users: int
    active: int


class RevenueFigures(NamedTuple):
    """Money that came in on a day, and of the payments of that day, what has gone back since."""

    day: date
    currency: str
    company: str
    payments: int
    paid: Decimal
    refunded: Decimal
    disputed: Decimal


class PaymentFigures(NamedTuple):
    """Orders of the span by what became of them; `success` is of those that are over, null if none is."""

    orders: int
    paid: int
    failed: int
    expired: int
    waiting: int
    problems: int

    @property
    def success(self) -> float | None:
        over = self.paid + self.failed + self.expired
        return self.paid / over if over else None


class CreditFigures(NamedTuple):
    """Credits that were moved in the span, and what accounts hold and owe now."""

    sold: int
    given: int  # sign-ups, gifts, goodwill, plans' periods
    spent: int
    expired: int
    revoked: int
    available: int
    reserved: int
    owed: int


class JobFigures(NamedTuple):
    """Jobs ordered in the span."""

    ordered: int
    succeeded: int
    failed: int
    canceled: int
    mean_seconds: float | None  # from the start to the end, of those that succeeded

    @property
    def success(self) -> float | None:
        over = self.succeeded + self.failed
        return self.succeeded / over if over else None


class ContentFigures(NamedTuple):
    """Articles of a section, or of a kind of news, as there are now; how often they were read and are liked. `new` are those
    that bear a date of the span.
    """

    section: str
    kind: str | None
    drafts: int
    published: int  # those that wait for their time too
    new: int
    views: int
    likes: int


class MarginFigures(NamedTuple):
    """Dollars in millionths: credits that were spent, at what was really paid for a credit, against what providers took."""

    revenue_usd_micros: int
    cost_usd_micros: int
    paid_credits: int  # that were spent of grants that somebody paid for, in dollars


class Stats(NamedTuple):
    """All figures of one span."""

    since: datetime
    until: datetime
    users: UserFigures
    plans: list[PlanFigures]
    revenue: list[RevenueFigures]
    payments: PaymentFigures
    credits: CreditFigures
    credits_per_day: float
    jobs: JobFigures
    margin: MarginFigures
    content: list[ContentFigures]


def stats(conn: Connection[Any], *, since: datetime, until: datetime) -> Stats:
    """Figures from `since` to before `until`; in one snapshot if the caller's transaction is one.

    Raises InvalidInput for a span that is empty or longer than `MAX_DAYS`.
    """
    if not timedelta() < until - since <= timedelta(days=MAX_DAYS):
        raise InvalidInput(f"the span must be longer than nothing and at most {MAX_DAYS} days", param="days")
    conn.execute("set local statement_timeout = '60s'")  # a report may take longer than a request
    span = {"since": since, "until": until, "low": _first_id(since), "high": _first_id(until)}
    users = UserFigures(*_one(conn, _USERS, span))
    plans = [PlanFigures(*row) for row in conn.execute(_PLANS, span).fetchall()]
    revenue = [RevenueFigures(*row) for row in conn.execute(_REVENUE, span).fetchall()]
    payments = PaymentFigures(*_one(conn, _PAYMENTS, span))
    credits = CreditFigures(*_one(conn, _CREDITS, span))
    jobs = JobFigures(*_one(conn, _JOBS, span))
    days = (until - since) / timedelta(days=1)
    return Stats(
        since,
        until,
        users,
        plans,
        revenue,
        payments,
        credits,
        credits.spent / days,
        jobs,
        _margin(conn, since, until),
        [ContentFigures(*row) for row in conn.execute(_CONTENT, span).fetchall()],
    )


def _margin(conn: Connection[Any], since: datetime, until: datetime) -> MarginFigures:
    cost = margin(conn, since=since, until=until, by=())[0].cost_usd_micros
    row = _one(conn, _PAID_CREDITS, {"low": _first_id(since), "high": _first_id(until)})
    return MarginFigures(int(row[0]), cost, int(row[1]))


def _one(conn: Connection[Any], statement: str, values: dict[str, Any]) -> Sequence[Any]:
    row: Sequence[Any] | None = conn.execute(statement, values).fetchone()
    assert row is not None  # noqa: S101 - each counts over all rows
    return row


def _first_id(moment: datetime) -> UUID:
    """The smallest id that could be made at a moment."""
    return UUID(int=int(moment.timestamp() * 1000) << 80)


_USERS = """
select (select count(*) from users where deleted_at is null and id < %(high)s),
       (select count(*) from users where deleted_at is null and id >= %(low)s and id < %(high)s),
       (select count(distinct coalesce(account_id, past_account_id)) from jobs where id >= %(low)s and id < %(high)s)
"""
_PLANS = """
select p.id, count(u.id), count(u.id) filter (where j.account_id is not null)
  from plans p left join accounts a on a.plan_id = p.id
  left join users u on u.id = a.user_id and u.deleted_at is null
  left join (select distinct coalesce(account_id, past_account_id) as account_id from jobs where id >= %(low)s and id < %(high)s) j on j.account_id = a.id
 group by p.id, p.position having count(u.id) > 0 order by p.position, p.id
"""
_REVENUE = """
select (paid_at at time zone 'UTC')::date, paid_currency, company, count(*), sum(paid), sum(refunded),
       coalesce(sum(paid - refunded) filter (where dispute in ('open', 'lost')), 0)
  from payments where paid_at >= %(since)s and paid_at < %(until)s
 group by 1, 2, 3 order by 1, 2, 3
"""
_PAYMENTS = """
select count(*), count(*) filter (where money = 'paid'), count(*) filter (where money = 'failed'),
       count(*) filter (where money = 'expired'), count(*) filter (where money in ('pending', 'processing')),
       count(*) filter (where problem is not null)
  from payments where id >= %(low)s and id < %(high)s
"""
_CREDITS = """
select coalesce(sum(e.amount) filter (where e.kind = 'grant' and g.kind = 'purchase'), 0)::bigint,
       coalesce(sum(e.amount) filter (where e.kind = 'grant' and g.kind <> 'purchase'), 0)::bigint,
       coalesce(sum(e.amount) filter (where e.kind = 'settle'), 0)::bigint,
       coalesce(sum(e.amount) filter (where e.kind = 'expire'), 0)::bigint,
       coalesce(sum(e.amount) filter (where e.kind = 'revoke'), 0)::bigint,
       (select coalesce(sum(available), 0)::bigint from accounts), (select coalesce(sum(reserved), 0)::bigint from accounts),
       (select coalesce(sum(debt), 0)::bigint from accounts)
  from ledger_entries e left join grants g on g.id = e.grant_id
 where e.created_at >= %(since)s and e.created_at < %(until)s
"""
_JOBS = """
select count(*), count(*) filter (where ended = 'succeeded'), count(*) filter (where ended = 'failed'),
       count(*) filter (where ended = 'canceled'),
       (avg(extract(epoch from ended_at - started_at)) filter (where ended = 'succeeded'))::float8
  from jobs where id >= %(low)s and id < %(high)s
"""
_CONTENT = """
select a.section, a.kind, count(*) filter (where a.state = 'draft'), count(*) filter (where a.state = 'published'),
       count(*) filter (where a.state = 'published' and a.published_at >= %(since)s and a.published_at < %(until)s),
       coalesce(sum(c.views), 0)::bigint, coalesce(sum(c.likes), 0)::bigint
  from articles a join article_counts c on c.article_id = a.id where a.state <> 'deleted' group by a.section, a.kind order by a.section, a.kind
"""
# A credit is worth what was paid for its grant, per credit; a plan's period what its payment gave a month for. Other
# currencies are not turned into dollars: nobody here knows the rate.
_PAID_CREDITS = """
select coalesce(sum(l.settled * w.micros), 0)::bigint, coalesce(sum(l.settled) filter (where w.micros is not null), 0)::bigint
  from jobs j join reservation_grants l on l.job_id = j.id join grants g on g.id = l.grant_id
  left join lateral (select g.paid_per_credit * 1000000 as micros where g.paid_currency = 'USD') w on true
 where j.id >= %(low)s and j.id < %(high)s and l.settled > 0
"""
