"""Subscriptions: a plan for a time, and its credits each month.

All of a subscription's dates are whole months after its start, in UTC, so that a short month in between shifts none:
what begins on 31 January has periods that begin on 28 February and 31 March.
"""

from calendar import monthrange
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, NamedTuple
from uuid import UUID

from psycopg import Connection
from sqlalchemy import CheckConstraint, Column, Index, Integer, Text, text
from sqlmodel import Field, SQLModel
from uuid_utils.compat import uuid7

from common.errors import InvalidRequest, NotFound
from common.settings import settings
from models.columns import UTC_TIME, created_at, in_list, moment
from models.credits import ledger
from models.events import events
from models.locks import read_locked

INTERVALS = {"monthly": 1, "yearly": 12}
MAX_MONTHS = 1200  # a hundred years from the start, far within what a date can hold


class Subscription(SQLModel, table=True):
    """A plan paid until `ends_at`. `periods_granted` months from `started_at` have been granted already."""

    __tablename__ = "subscriptions"
    __table_args__ = (
        CheckConstraint(in_list("status", "active", "expired", "canceled"), name="status"),
        CheckConstraint(in_list("interval", *INTERVALS), name="interval"),
        CheckConstraint("ends_at > started_at and periods_granted >= 0", name="period"),
        Index("ix_subscriptions_active", "account_id", unique=True, postgresql_where=text("status = 'active'")),
        Index("ix_subscriptions_next_grant_at", "next_grant_at", postgresql_where=text("status = 'active'")),
        Index("ix_subscriptions_ends_at", "ends_at", postgresql_where=text("status = 'active'")),
    )

    id: UUID = Field(primary_key=True)
    account_id: UUID = Field(foreign_key="accounts.id", nullable=False)
    plan_id: str = Field(foreign_key="plans.id", sa_type=Text, nullable=False)
    status: str = Field(default="active", sa_type=Text, nullable=False, sa_column_kwargs={"server_default": "active"})
    interval: str = Field(sa_type=Text, nullable=False)
    started_at: datetime = Field(sa_column=Column(UTC_TIME, nullable=False))
    ends_at: datetime = Field(sa_column=Column(UTC_TIME, nullable=False))
    periods_granted: int = Field(default=0, sa_type=Integer, nullable=False, sa_column_kwargs={"server_default": "0"})
    next_grant_at: datetime | None = moment()
    created_at: datetime = created_at()


def month_after(anchor: datetime, months: int) -> datetime:
    """The same day and time so many months later, in UTC; in a shorter month its last day."""
    anchor = anchor.astimezone(UTC)
    years, month = divmod(anchor.year * 12 + anchor.month - 1 + months, 12)
    return anchor.replace(year=years, month=month + 1, day=min(anchor.day, monthrange(years, month + 1)[1]))


def months_between(anchor: datetime, end: datetime) -> int:
    """How many months were added to `anchor` to come to `end`: adding months never skips one."""
    anchor, end = anchor.astimezone(UTC), end.astimezone(UTC)
    return (end.year - anchor.year) * 12 + end.month - anchor.month


class _Running(NamedTuple):
    """The subscription that an account is on."""

    id: UUID
    plan_id: str
    started_at: datetime
    ends_at: datetime
    periods_granted: int
    next_grant_at: datetime | None


def subscribe(conn: Connection[Any], account_id: UUID, plan_id: str, interval: str = "monthly") -> UUID:
    """Start a subscription now, or extend the running one of the same plan from its end; another plan replaces it. One
    whose time has run out is over, whether or not the scheduler has seen it: a new one starts now.

    Grants the first month's credits. Returns the subscription's id.
    """
    if interval not in INTERVALS:
        raise InvalidRequest(f"interval is one of {', '.join(INTERVALS)}", param="interval")
    locked = read_locked(conn, account_id, "app_now()")
    if locked is None:
        raise NotFound(f"no account {account_id}")
    now: datetime = locked[0]
    plan = conn.execute("select granted from plans where id = %s", [plan_id]).fetchone()
    if plan is None:
        raise NotFound(f"no plan {plan_id!r}", param="plan")
    if plan[0] != "monthly":
        raise InvalidRequest(f"plan {plan_id!r} cannot be subscribed to", param="plan")
    row = conn.execute(
        """select id, plan_id, started_at, ends_at, periods_granted, next_grant_at from subscriptions
            where account_id = %s and status = 'active' for update""",
        [account_id],
    ).fetchone()
    running = _Running(*row) if row else None
    if running and running.ends_at <= now:
        expire(conn, running.id, settings().default_plan)
        running = None
    if running and running.plan_id == plan_id:
        return _extend(conn, account_id, running, interval)
    if running:
        conn.execute("update subscriptions set status = 'canceled', next_grant_at = null where id = %s", [running.id])
    subscription_id = uuid7()
    conn.execute(
        """insert into subscriptions (id, account_id, plan_id, interval, started_at, ends_at, next_grant_at)
           values (%s, %s, %s, %s, %s, %s, %s)""",
        [subscription_id, account_id, plan_id, interval, now, month_after(now, INTERVALS[interval]), now],
    )
    conn.execute("update accounts set plan_id = %s where id = %s", [plan_id, account_id])
    data = {"plan": plan_id, "interval": interval}
    if running:
        events.add(conn, account_id, "subscription.changed", {**data, "before": running.plan_id})
    else:
        events.add(conn, account_id, "subscription.started", data)
    grant_due_period(conn, subscription_id)
    return subscription_id


def _extend(conn: Connection[Any], account_id: UUID, running: _Running, interval: str) -> UUID:
    months = months_between(running.started_at, running.ends_at) + INTERVALS[interval]
    if months > MAX_MONTHS:
        raise InvalidRequest(f"a subscription runs for at most {MAX_MONTHS} months", param="interval")
    conn.execute(
        "update subscriptions set ends_at = %s, interval = %s, next_grant_at = %s where id = %s",
        [
            month_after(running.started_at, months), interval,
            running.next_grant_at or month_after(running.started_at, running.periods_granted), running.id,
        ],
    )  # fmt: skip
    events.add(conn, account_id, "subscription.extended", {"plan": running.plan_id, "interval": interval})
    return running.id


def grant_due_period(conn: Connection[Any], subscription_id: UUID) -> bool:
    """Grant the credits of the month that is due, expiring with it. False where none is due. The caller holds the
    account's lock. A month that passed while every scheduler was down is skipped by its expiry, never granted late.
    """
    row = conn.execute(
        """select s.account_id, s.plan_id, p.credits, s.periods_granted, s.started_at, s.ends_at, app_now()
             from subscriptions s join plans p on p.id = s.plan_id
            where s.id = %s and s.status = 'active' and s.next_grant_at <= app_now() and s.ends_at > app_now()
              for no key update of s""",
        [subscription_id],
    ).fetchone()
    if row is None:
        return False
    account_id, plan_id, amount, period, started_at, ends_at, now = row
    period_end = month_after(started_at, period + 1)
    missed = period_end <= now
    if not missed and amount:
        ledger.grant(
            conn, account_id, kind="plan", amount=amount, ref=f"plan:{subscription_id}:{period}", expires_at=period_end
        )
    conn.execute(
        "update subscriptions set periods_granted = periods_granted + 1, next_grant_at = %s where id = %s",
        [period_end if period_end < ends_at else None, subscription_id],
    )
    events.add(conn, account_id, "subscription.period", {"plan": plan_id, "period": period, "granted": not missed})
    return True


def expire(conn: Connection[Any], subscription_id: UUID, default_plan: str) -> bool:
    """End a subscription whose time has run out and move its account to the default plan. The caller holds the
    account's lock. Credits of its last month expire with that month, by their own date.
    """
    row = conn.execute(
        """update subscriptions set status = 'expired', next_grant_at = null
            where id = %s and status = 'active' and ends_at <= app_now() returning account_id, plan_id""",
        [subscription_id],
    ).fetchone()
    if row is None:
        return False
    conn.execute("update accounts set plan_id = %s where id = %s", [default_plan, row[0]])
    events.add(conn, row[0], "subscription.expired", {"plan": row[1], "now": default_plan})
    return True


def due_periods(conn: Connection[Any], limit: int, *, without: Sequence[UUID] = ()) -> list[tuple[UUID, UUID]]:
    """Subscriptions, as (id, account), with a month to grant, but those of some. Picked without a lock."""
    rows: list[tuple[UUID, UUID]] = conn.execute(
        """select id, account_id from subscriptions
            where status = 'active' and next_grant_at <= app_now() and ends_at > app_now() and not (account_id = any(%s))
            order by next_grant_at limit %s""",
        [list(without), limit],
    ).fetchall()
    return rows


def run_out(conn: Connection[Any], limit: int, *, without: Sequence[UUID] = ()) -> list[tuple[UUID, UUID]]:
    """Subscriptions, as (id, account), whose time has run out, but those of some. Picked without a lock."""
    rows: list[tuple[UUID, UUID]] = conn.execute(
        """select id, account_id from subscriptions
            where status = 'active' and ends_at <= app_now() and not (account_id = any(%s)) order by ends_at limit %s""",
        [list(without), limit],
    ).fetchall()
    return rows
