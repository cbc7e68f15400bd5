"""Subscriptions: a plan for a time, its credits each month, and its end. What is paid for stands in `paid_periods`, what a
customer asks for in `plan_changes`.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

from psycopg import Connection
from sqlalchemy import Boolean, CheckConstraint, Column, Index, Integer, Text, text
from sqlmodel import Field, SQLModel

from common.settings import settings
from models.access.audit_log import By, record, why
from models.access.scopes import Role
from models.accounts import accounts
from models.accounts.periods import INTERVALS, lapses_at, month_after
from models.columns import UTC_TIME, created_at, in_list, moment
from models.credits import giving, ledger
from models.events import events

SCHEDULER = By("scheduler")
LIVING = ("trial", "active", "past_due")
RENEWERS = ("manual", "stripe", "xendit", "truelayer")
_IS_LIVING = in_list("status", *LIVING)


class Subscription(SQLModel, table=True):
    """A plan until `ends_at`. `periods_granted` months from `anchor` have been granted already.

    `status`: `trial`; `active`, paid; `past_due`, at its end and not renewed, for the plan's days of grace; over: `expired`, or
    `canceled` where another plan took its place. One that is canceled by its account runs to its end: `cancel_at_end`.
    """

    __tablename__ = "subscriptions"
    __table_args__ = (
        CheckConstraint(in_list("status", *LIVING, "expired", "canceled"), name="status"),
        CheckConstraint(in_list("interval", *INTERVALS), name="interval"),
        CheckConstraint("ends_at >= coalesce(anchor, started_at) and periods_granted >= 0", name="period"),
        CheckConstraint(in_list("renewer", *RENEWERS), name="renewer"),
        CheckConstraint(
            f"(next_plan_id is null) = (change_at is null) and {in_list('next_interval', *INTERVALS)}", name="change"
        ),
        Index("ix_subscriptions_living", "account_id", unique=True, postgresql_where=text(_IS_LIVING)),
        Index("ix_subscriptions_trial", "account_id", unique=True, postgresql_where=text("trial_ends_at is not null")),
        Index("ix_subscriptions_next_grant_at", "next_grant_at", postgresql_where=text(_IS_LIVING)),
        Index("ix_subscriptions_ends_at", "ends_at", postgresql_where=text(_IS_LIVING)),
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
    anchor: datetime | None = moment()  # what months are counted from; None: the start
    renewer: str = Field(default="manual", sa_type=Text, nullable=False, sa_column_kwargs={"server_default": "manual"})
    company_id: str | None = Field(default=None, sa_type=Text, nullable=True)  # the subscription at who renews it
    cancel_at_end: bool = Field(
        default=False, sa_type=Boolean, nullable=False, sa_column_kwargs={"server_default": text("false")}
    )
    trial_ends_at: datetime | None = moment()
    next_plan_id: str | None = Field(default=None, foreign_key="plans.id", sa_type=Text, nullable=True)
    next_interval: str | None = Field(default=None, sa_type=Text, nullable=True)
    change_at: datetime | None = moment()  # from when on it is the next plan, if it is paid beyond that


class SubscriptionRow(NamedTuple):
    """A subscription as verbs decide on it."""

    id: UUID
    account_id: UUID
    plan_id: str
    status: str
    interval: str
    started_at: datetime
    anchor: datetime
    ends_at: datetime
    periods_granted: int
    next_grant_at: datetime | None
    renewer: str
    company_id: str | None
    cancel_at_end: bool
    trial_ends_at: datetime | None
    next_plan_id: str | None
    next_interval: str | None
    change_at: datetime | None
    grace_days: int
    now: datetime

    def lapses_at(self) -> datetime:
        """When it is over, if nothing is paid."""
        return lapses_at(self.status, self.ends_at, cancel_at_end=self.cancel_at_end, grace_days=self.grace_days)


READ = """
select s.id, s.account_id, s.plan_id, s.status, s.interval, s.started_at, coalesce(s.anchor, s.started_at), s.ends_at,
       s.periods_granted, s.next_grant_at, s.renewer, s.company_id, s.cancel_at_end, s.trial_ends_at, s.next_plan_id,
       s.next_interval, s.change_at, p.grace_days, app_now()
  from subscriptions s join plans p on p.id = s.plan_id"""


def find_living(conn: Connection[Any], account_id: UUID) -> SubscriptionRow | None:
    """The subscription that an account is on. The caller holds the account's lock, or only looks."""
    row = conn.execute(f"{READ} where s.account_id = %s and s.{_IS_LIVING}", [account_id]).fetchone()
    return SubscriptionRow(*row) if row else None


def latest(conn: Connection[Any], account_id: UUID) -> SubscriptionRow | None:
    """The subscription that an account is on, or else the one that it was on last."""
    row = conn.execute(
        f"{READ} where s.account_id = %s order by (s.{_IS_LIVING}) desc, s.id desc limit 1", [account_id]
    ).fetchone()
    return SubscriptionRow(*row) if row else None


def _read(conn: Connection[Any], subscription_id: UUID) -> SubscriptionRow | None:
    row = conn.execute(f"{READ} where s.id = %s for no key update of s", [subscription_id]).fetchone()
    return SubscriptionRow(*row) if row else None


def grant_due_period(conn: Connection[Any], subscription_id: UUID, *, by: By = SCHEDULER) -> bool:
    """Grant the credits of the month that is due, expiring with it. False where none is due. The caller holds the
    account's lock. A month that passed while every scheduler was down is skipped by its expiry, never granted late.
    """
    found = _read(conn, subscription_id)
    due = found is not None and found.status in LIVING and found.next_grant_at is not None
    if not due or found is None or found.next_grant_at is None or found.next_grant_at > found.now:
        return False
    if found.ends_at <= found.now:
        return False
    period, period_end = found.periods_granted, month_after(found.anchor, found.periods_granted + 1)
    if found.change_at is not None and found.next_plan_id is not None and found.change_at < period_end:
        # Its credits lapse with the period that has just ended: there is nothing to keep or to take.
        put_on_plan(conn, found, found.next_plan_id, found.next_interval or found.interval, by=by)
        found = found._replace(plan_id=found.next_plan_id)
    missed = period_end <= found.now
    if not missed:
        _grant(conn, found, period, period_end, by=by)
        _roll_over(conn, found, period, period_end, by=by)
    conn.execute(
        "update subscriptions set periods_granted = periods_granted + 1, next_grant_at = %s where id = %s",
        [period_end if period_end < found.ends_at else None, subscription_id],
    )
    data = {"plan": found.plan_id, "period": period, "granted": not missed}
    events.add(conn, found.account_id, "subscription.period", data)
    return True


def _grant(conn: Connection[Any], found: SubscriptionRow, period: int, period_end: datetime, *, by: By) -> None:
    amount = _credits(conn, found.plan_id)
    if amount:
        giving.give(
            conn, by, found.account_id, kind="plan", amount=amount, ref=f"plan:{found.id}:{period}", expires_at=period_end,
            reason=f"period {period} of plan {found.plan_id}",
        )  # fmt: skip


def _credits(conn: Connection[Any], plan_id: str) -> int:
    row = conn.execute("select credits from plans where id = %s", [plan_id]).fetchone()
    assert row is not None  # noqa: S101 - a subscription's plan is held by a foreign key
    return int(row[0])


def _roll_over(conn: Connection[Any], found: SubscriptionRow, period: int, period_end: datetime, *, by: By) -> None:
    """Grant what remained of the period before anew, up to the cap. What was rolled over once is not again."""
    most = settings().rollover_max_credits
    if not most or not period:
        return
    ledger.expire_lapsed(conn, [found.account_id])
    row = conn.execute(
        """select coalesce(sum(e.amount), 0)::bigint from ledger_entries e join grants g on g.id = e.grant_id
            where e.account_id = %s and e.kind = 'expire' and (g.ref = %s or g.ref like %s)""",
        [found.account_id, f"plan:{found.id}:{period - 1}", f"plan:{found.id}:{period - 1}:again%"],
    ).fetchone()
    amount = min(most, row[0] if row else 0)
    if amount:
        giving.give(
            conn, by, found.account_id, kind="plan", amount=amount, ref=f"rollover:{found.id}:{period}", expires_at=period_end,
            reason=f"left of period {period - 1} of plan {found.plan_id}",
        )  # fmt: skip


def regrant_running(conn: Connection[Any], found: SubscriptionRow, *, by: By) -> None:
    """Grant the credits of the running period again, once, after they were taken back with its payment."""
    period = found.periods_granted - 1
    period_end = month_after(found.anchor, period + 1)
    first = f"plan:{found.id}:{period}"
    row = conn.execute(
        """select max(amount) filter (where ref = %s), bool_and(revoked_at is not null) from grants
            where account_id = %s and (ref = %s or ref like %s)""",
        [first, found.account_id, first, f"{first}:again%"],
    ).fetchone()
    if period < 0 or period_end <= found.now or row is None or row[0] is None or not row[1]:
        return
    giving.give(
        conn, by, found.account_id, kind="plan", amount=row[0], ref=f"{first}:again:{found.now.isoformat()}",
        expires_at=period_end, reason=f"period {period} of plan {found.plan_id}, paid again",
    )  # fmt: skip


def put_on_plan(
    conn: Connection[Any], found: SubscriptionRow, plan_id: str, interval: str, *, by: By, credits: str = "keep",
    reason: str | None = None,
) -> None:  # fmt: skip
    """Give a running subscription another plan, and tell it, with what becomes of the running period's `credits`. What was to
    come at its end is forgotten with it.
    """
    conn.execute(
        """update subscriptions set plan_id = %s, interval = %s, next_plan_id = null, next_interval = null, change_at = null
            where id = %s""",
        [plan_id, interval, found.id],
    )
    conn.execute("update accounts set plan_id = %s where id = %s", [plan_id, found.account_id])
    data = {"plan": plan_id, "interval": interval, "before": found.plan_id, "credits": credits}
    events.add(conn, found.account_id, "subscription.changed", data)
    record(conn, by, "plan.changed", str(found.account_id), subscription=found.id, **data, **why(reason))


def end_lapsed(conn: Connection[Any], subscription_id: UUID, default_plan: str) -> bool:
    """Do what a subscription's end asks for: days of grace, or its expiry. False: nothing. The caller holds the account's
    lock. A scheduler that comes late by more than the days of grace expires it at once.
    """
    found = _read(conn, subscription_id)
    if found is None or found.status not in LIVING or found.ends_at > found.now:
        return False
    if found.lapses_at() <= found.now:
        expire(conn, found, default_plan, by=SCHEDULER)
        return True
    if found.status == "past_due":
        return False
    conn.execute("update subscriptions set status = 'past_due', next_grant_at = null where id = %s", [found.id])
    data = {"plan": found.plan_id, "until": found.lapses_at()}
    events.add(conn, found.account_id, "subscription.overdue", data)
    return True


def expire(conn: Connection[Any], found: SubscriptionRow, default_plan: str, *, by: By) -> None:
    """End a living subscription now and move its account to the default plan. The caller holds the account's lock. Credits
    of its last month expire with that month, by their own date.
    """
    conn.execute("update subscriptions set status = 'expired', next_grant_at = null where id = %s", [found.id])
    conn.execute("update accounts set plan_id = %s where id = %s", [default_plan, found.account_id])
    data = {"plan": found.plan_id, "now": default_plan}
    events.add(conn, found.account_id, "subscription.expired", data)
    record(conn, by, "plan.expired", str(found.account_id), subscription=found.id, **data)
    follow_role(conn, found.account_id, "user", by=by)


def follow_role(conn: Connection[Any], account_id: UUID, role: Role, *, by: By) -> None:
    """Give an account's user the role that goes with a subscription, or with none; editors and admins stay what they are."""
    row = conn.execute(
        """select u.id, u.role from users u join accounts a on a.user_id = u.id
            where a.id = %s and u.deleted_at is null""",
        [account_id],
    ).fetchone()
    if row is not None and row[1] in ("user", "pro") and row[1] != role:
        accounts.change_role(conn, by, row[0], role)


def due_periods(conn: Connection[Any], limit: int, *, without: Sequence[UUID] = ()) -> list[tuple[UUID, UUID]]:
    """Subscriptions, as (id, account), with a month to grant, but those of some. Picked without a lock."""
    rows: list[tuple[UUID, UUID]] = conn.execute(
        f"""select id, account_id from subscriptions
             where {_IS_LIVING} and next_grant_at <= app_now() and ends_at > app_now() and not (account_id = any(%s))
             order by next_grant_at limit %s""",
        [list(without), limit],
    ).fetchall()
    return rows


def run_out(conn: Connection[Any], limit: int, *, without: Sequence[UUID] = ()) -> list[tuple[UUID, UUID]]:
    """Subscriptions, as (id, account), at whose end there is something to do, but those of some. Picked without a lock."""
    rows: list[tuple[UUID, UUID]] = conn.execute(
        f"""select s.id, s.account_id from subscriptions s join plans p on p.id = s.plan_id
             where s.{_IS_LIVING} and s.ends_at <= app_now() and not (s.account_id = any(%s))
               and (s.status <> 'past_due' or s.cancel_at_end
                    or s.ends_at + make_interval(hours => 24 * p.grace_days) <= app_now())
             order by s.ends_at limit %s""",
        [list(without), limit],
    ).fetchall()
    return rows


def still_renewed(conn: Connection[Any], limit: int) -> list[tuple[UUID, str]]:
    """Subscriptions, as (id, id at Stripe), that Stripe goes on billing though nobody has them: another took their place, or
    their user is deleted.
    """
    rows: list[tuple[UUID, str]] = conn.execute(
        """select s.id, s.company_id from subscriptions s join accounts a on a.id = s.account_id join users u on u.id = a.user_id
            where s.renewer = 'stripe' and s.company_id is not null and not s.cancel_at_end
              and (s.status = 'canceled' or u.deleted_at is not null) order by s.id limit %s""",
        [limit],
    ).fetchall()
    return rows


def record_renewal_ended(conn: Connection[Any], subscription_id: UUID) -> None:
    """Whoever renewed a subscription does so no more."""
    conn.execute("update subscriptions set cancel_at_end = true where id = %s", [subscription_id])
