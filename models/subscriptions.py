"""Subscriptions: a plan for a time, and its credits each month."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from psycopg import Connection
from sqlalchemy import CheckConstraint, Column, Index, Integer, Text, text
from sqlmodel import Field, SQLModel
from uuid_utils.compat import uuid7

from models import credits, events
from models.base import UTC_TIME, created_at, in_list, moment
from models.errors import InvalidRequest, NotFound

INTERVALS = {"monthly": 1, "yearly": 12}


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


def subscribe(conn: Connection[Any], account_id: UUID, plan_id: str, interval: str = "monthly") -> UUID:
    """Start a subscription now, or extend the running one of the same plan from its end; another plan replaces it.

    Grants the first month's credits. Returns the subscription's id.
    """
    if interval not in INTERVALS:
        raise InvalidRequest(f"interval is one of {', '.join(INTERVALS)}", param="interval")
    if conn.execute("select 1 from accounts where id = %s for no key update", [account_id]).fetchone() is None:
        raise NotFound(f"no account {account_id}")
    plan = conn.execute("select granted from plans where id = %s", [plan_id]).fetchone()
    if plan is None:
        raise NotFound(f"no plan {plan_id!r}", param="plan")
    if plan[0] != "monthly":
        raise InvalidRequest(f"plan {plan_id!r} cannot be subscribed to", param="plan")
    months = INTERVALS[interval]
    running = conn.execute(
        "select id, plan_id from subscriptions where account_id = %s and status = 'active' for update", [account_id]
    ).fetchone()
    if running and running[1] == plan_id:
        conn.execute(
            """update subscriptions set ends_at = ends_at + make_interval(months => %s), interval = %s,
                      next_grant_at = coalesce(next_grant_at, started_at + make_interval(months => periods_granted))
                where id = %s""",
            [months, interval, running[0]],
        )
        events.add(conn, account_id, "subscription.extended", {"plan": plan_id, "interval": interval})
        return UUID(str(running[0]))
    if running:
        conn.execute("update subscriptions set status = 'canceled', next_grant_at = null where id = %s", [running[0]])
    subscription_id = uuid7()
    conn.execute(
        """insert into subscriptions (id, account_id, plan_id, interval, started_at, ends_at, next_grant_at)
           values (%s, %s, %s, %s, app_now(), app_now() + make_interval(months => %s), app_now())""",
        [subscription_id, account_id, plan_id, interval, months],
    )
    conn.execute("update accounts set plan_id = %s where id = %s", [plan_id, account_id])
    if running:
        events.add(
            conn, account_id, "subscription.changed", {"plan": plan_id, "before": running[1], "interval": interval}
        )
    else:
        events.add(conn, account_id, "subscription.started", {"plan": plan_id, "interval": interval})
    grant_due_period(conn, subscription_id)
    return subscription_id


def grant_due_period(conn: Connection[Any], subscription_id: UUID) -> bool:
    """Grant the credits of the month that is due, expiring with it. False where none is due. The caller holds the
    account's lock. A month that passed while every scheduler was down is skipped by its expiry, never granted late.
    """
    row = conn.execute(
        """select s.account_id, s.plan_id, p.credits, s.periods_granted,
                  s.started_at + make_interval(months => s.periods_granted + 1) as period_end,
                  s.started_at + make_interval(months => s.periods_granted + 1) < s.ends_at as more,
                  s.started_at + make_interval(months => s.periods_granted + 1) <= app_now() as missed
             from subscriptions s join plans p on p.id = s.plan_id
            where s.id = %s and s.status = 'active' and s.next_grant_at <= app_now() and s.ends_at > app_now()
              for no key update of s""",
        [subscription_id],
    ).fetchone()
    if row is None:
        return False
    account_id, plan_id, amount, period, period_end, more, missed = row
    if not missed and amount:
        credits.grant(
            conn, account_id, kind="plan", amount=amount, ref=f"plan:{subscription_id}:{period}", expires_at=period_end
        )
    conn.execute(
        "update subscriptions set periods_granted = periods_granted + 1, next_grant_at = %s where id = %s",
        [period_end if more else None, subscription_id],
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
