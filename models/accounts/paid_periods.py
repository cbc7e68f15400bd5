"""What was paid for: months of a subscription, given once per payment, taken off again with a refund, put back after it.

`started_at` and `anchor` say from when months count, `ends_at` how many there are. The caller knows that the money is there.
"""

from datetime import datetime
from typing import Any, Literal
from uuid import UUID

from psycopg import Connection
from sqlalchemy import CheckConstraint, Column, Integer, Text
from sqlmodel import Field, SQLModel
from uuid_utils.compat import uuid7

from common.errors import InvalidRequest, NotFound
from common.settings import settings
from models.access.audit_log import By, record, why
from models.accounts.periods import INTERVALS, MAX_MONTHS, anchor_for, month_after, months_between
from models.accounts.subscriptions import (
    LIVING,
    READ,
    RENEWERS,
    SubscriptionRow,
    expire,
    find_living,
    follow_role,
    grant_due_period,
    regrant_running,
)
from models.columns import UTC_TIME, created_at, moment
from models.credits import ledger, revoking
from models.events import events
from models.locks import read_locked

PAYMENTS = By("payments")


class SubscriptionPayment(SQLModel, table=True):
    """Months that a payment gave. `unpaid_at`: they were taken off again, since its money went back."""

    __tablename__ = "subscription_payments"
    __table_args__ = (CheckConstraint("months > 0", name="months"),)

    payment_ref: str = Field(primary_key=True, sa_type=Text)
    subscription_id: UUID = Field(foreign_key="subscriptions.id", index=True, nullable=False)
    months: int = Field(sa_type=Integer, nullable=False)
    starts_at: datetime = Field(sa_column=Column(UTC_TIME, nullable=False))
    ends_at: datetime = Field(sa_column=Column(UTC_TIME, nullable=False))
    unpaid_at: datetime | None = moment()
    created_at: datetime = created_at()


def subscribe(
    conn: Connection[Any], account_id: UUID, plan_id: str, interval: str = "monthly", *, by: By = PAYMENTS,
    reason: str | None = None,
) -> UUID:  # fmt: skip
    """Start or extend a subscription by hand, as if it had just been paid. Returns its id."""
    ref = f"manual:{uuid7()}"
    return pay_subscription(
        conn, account_id, plan_id, interval, payment_ref=ref, renewer="manual", by=by, reason=reason
    )


def pay_subscription(
    conn: Connection[Any],
    account_id: UUID,
    plan_id: str,
    interval: str,
    *,
    payment_ref: str,
    renewer: str,
    company_id: str | None = None,
    period_end: datetime | None = None,
    by: By = PAYMENTS,
    reason: str | None = None,
) -> UUID:
    """Give what one payment paid for, once per `payment_ref`: a subscription that starts now, or more months of the running
    one of the same plan, from its end; another plan takes its place at once. One that is over is over, whether or not the
    scheduler has seen it.

    `renewer` is who renews it; a subscription that a company runs itself (`stripe`, with its `company_id` there) stays so
    until it is over, and ends when that company says (`period_end`). Returns the subscription's id. Raises NotFound and
    InvalidRequest before anything is written.
    """
    now = _check(conn, account_id, plan_id, interval, renewer)
    known = conn.execute(
        "select subscription_id from subscription_payments where payment_ref = %s", [payment_ref]
    ).fetchone()
    if known is not None:
        return UUID(str(known[0]))
    running = find_living(conn, account_id)
    if running and running.lapses_at() <= now:
        expire(conn, running, settings().default_plan, by=by)
        running = None
    period_end = period_end if period_end is not None and period_end > now else None
    if running and plan_id in (running.plan_id, running.next_plan_id):
        _extend(conn, running, plan_id, interval, renewer, company_id, period_end)
        subscription_id, start = running.id, running.ends_at
    else:
        subscription_id, start = (
            _begin(conn, account_id, plan_id, interval, renewer, company_id, period_end, running, now, by),
            now,
        )
    conn.execute(
        """insert into subscription_payments (payment_ref, subscription_id, months, starts_at, ends_at)
           select %s, id, %s, %s, ends_at from subscriptions where id = %s""",
        [payment_ref, INTERVALS[interval], start, subscription_id],
    )
    record(
        conn, by, "plan.paid", str(account_id), subscription=subscription_id, plan=plan_id, interval=interval,
        payment=payment_ref, **why(reason),
    )  # fmt: skip
    grant_due_period(conn, subscription_id, by=by)
    return subscription_id


def _check(conn: Connection[Any], account_id: UUID, plan_id: str, interval: str, renewer: str) -> datetime:
    """Lock the account. Returns the time. Raises NotFound and InvalidRequest."""
    if interval not in INTERVALS:
        raise InvalidRequest(f"interval is one of {', '.join(INTERVALS)}", param="interval")
    if renewer not in RENEWERS:
        raise InvalidRequest(f"renewer is one of {', '.join(RENEWERS)}", param="renewer")
    locked = read_locked(conn, account_id, "app_now()")
    if locked is None:
        raise NotFound(f"no account {account_id}")
    plan = conn.execute("select granted from plans where id = %s", [plan_id]).fetchone()
    if plan is None:
        raise NotFound(f"no plan {plan_id!r}", param="plan")
    if plan[0] != "monthly":
        raise InvalidRequest(f"plan {plan_id!r} cannot be subscribed to", param="plan")
    now: datetime = locked[0]
    return now


def _begin(
    conn: Connection[Any],
    account_id: UUID,
    plan_id: str,
    interval: str,
    renewer: str,
    company_id: str | None,
    period_end: datetime | None,
    running: SubscriptionRow | None,
    now: datetime,
    by: By,
) -> UUID:
    """Start a subscription now, in the place of the running one if there is one."""
    if running is not None:
        conn.execute(
            """update subscriptions set status = 'canceled', next_grant_at = null, next_plan_id = null, next_interval = null,
                      change_at = null where id = %s""",
            [running.id],
        )
    months, subscription_id = INTERVALS[interval], uuid7()
    anchor = now if period_end is None else anchor_for(period_end, months, now)
    ends_at = month_after(anchor, months)
    conn.execute(
        """insert into subscriptions (id, account_id, plan_id, interval, started_at, anchor, ends_at, next_grant_at, renewer,
                                      company_id) values (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s)""",
        [subscription_id, account_id, plan_id, interval, now, anchor, ends_at, now, renewer, company_id],
    )
    conn.execute("update accounts set plan_id = %s where id = %s", [plan_id, account_id])
    data = {"plan": plan_id, "interval": interval}
    if running is not None:
        credits_became = settings().plan_change_credits
        data |= {"before": running.plan_id, "credits": credits_became}
        events.add(conn, account_id, "subscription.changed", data)
        record(conn, by, "plan.changed", str(account_id), subscription=subscription_id, **data)
        if credits_became == "revoke":
            end_credits(conn, running)
    else:
        events.add(conn, account_id, "subscription.started", data)
    follow_role(conn, account_id, "pro", by=by)
    return subscription_id


def end_credits(conn: Connection[Any], found: SubscriptionRow) -> None:
    """Let what remains of a subscription's credits lapse now. What was spent of them is nobody's debt: it was paid for."""
    conn.execute(
        "update grants set expires_at = app_now() where account_id = %s and open and ref like any(%s)",
        [found.account_id, [f"plan:{found.id}:%", f"change:{found.id}:%", f"rollover:{found.id}:%"]],
    )
    ledger.expire_lapsed(conn, [found.account_id])


def _extend(
    conn: Connection[Any],
    running: SubscriptionRow,
    plan_id: str,
    interval: str,
    renewer: str,
    company_id: str | None,
    period_end: datetime | None,
) -> None:
    """More months from the end. Who pays for the plan that is to come keeps that change; who pays for this one, this one."""
    total = months_between(running.anchor, running.ends_at) + INTERVALS[interval]
    if total > MAX_MONTHS:
        raise InvalidRequest(f"a subscription runs for at most {MAX_MONTHS} months", param="interval")
    anchor = running.anchor if period_end is None else anchor_for(period_end, total, running.anchor)
    keeps = plan_id == running.next_plan_id
    is_companys = running.renewer == "stripe" and renewer != "stripe"  # its invoices go on, whoever has paid for once
    conn.execute(
        """update subscriptions
              set status = 'active', anchor = %s, ends_at = %s, next_grant_at = %s, cancel_at_end = false, renewer = %s,
                  company_id = %s, interval = %s, next_plan_id = %s, next_interval = %s, change_at = %s
            where id = %s""",
        [
            anchor, month_after(anchor, total), month_after(anchor, running.periods_granted),
            running.renewer if is_companys else renewer, running.company_id if is_companys else company_id,
            running.interval if keeps else interval, running.next_plan_id if keeps else None,
            interval if keeps else None, running.change_at if keeps else None, running.id,
        ],
    )  # fmt: skip
    data = {"plan": plan_id, "interval": interval}
    events.add(conn, running.account_id, "subscription.extended", data)


def unpay(conn: Connection[Any], payment_ref: str, *, by: By = PAYMENTS) -> bool:
    """Take a payment's months off the end again: its money went back in full. A subscription that has nothing left then ends
    now, and the credits of its running period are taken back. False: nothing, since that payment gave no months, or
    they were taken off before.
    """
    found = _payment(conn, payment_ref, "p.unpaid_at is null")
    if found is None:
        return False
    subscription, months = found
    conn.execute("update subscription_payments set unpaid_at = app_now() where payment_ref = %s", [payment_ref])
    left = max(0, months_between(subscription.anchor, subscription.ends_at) - months)
    ends_at = month_after(subscription.anchor, left)
    is_trial = subscription.trial_ends_at is not None and not left
    conn.execute(
        """update subscriptions set ends_at = %s, status = case when %s and status = 'active' then 'trial' else status end,
                  next_grant_at = case when next_grant_at < %s then next_grant_at end where id = %s""",
        [ends_at, is_trial, ends_at, subscription.id],
    )
    record(conn, by, "plan.unpaid", str(subscription.account_id), subscription=subscription.id, payment=payment_ref)
    if ends_at <= subscription.now:
        _take_back_running(conn, subscription)
        if subscription.status in LIVING:
            expire(conn, subscription._replace(ends_at=ends_at), settings().default_plan, by=by)
    return True


def _take_back_running(conn: Connection[Any], found: SubscriptionRow) -> None:
    """Take back, as a debt where it was spent, what was granted for a period that is not over. A trial was not paid for."""
    rows = conn.execute(
        """select id from grants where account_id = %s and revoked_at is null and expires_at > app_now()
              and ref like any(%s) and ref <> %s order by id""",
        [found.account_id, [f"plan:{found.id}:%", f"change:{found.id}:%"], f"plan:{found.id}:trial"],
    ).fetchall()
    for (grant_id,) in rows:
        revoking.revoke(conn, grant_id)


def repay(conn: Connection[Any], payment_ref: str, *, by: By = PAYMENTS) -> bool:
    """Put back what `unpay` took off: the money has come again (a dispute was won, a refund failed). A subscription that
    ended with it lives again where it still has time, unless its account is on another: that one gets the months if it
    is of the same plan, and else nothing does, which the audit log tells. False: nothing was taken off.
    """
    found = _payment(conn, payment_ref, "p.unpaid_at is not null")
    if found is None:
        return False
    subscription, months = found
    living = find_living(conn, subscription.account_id)
    if living is not None and living.id != subscription.id and living.plan_id == subscription.plan_id:
        subscription = living
    conn.execute(
        "update subscription_payments set unpaid_at = null, subscription_id = %s where payment_ref = %s",
        [subscription.id, payment_ref],
    )
    ends_at = month_after(subscription.anchor, months_between(subscription.anchor, subscription.ends_at) + months)
    is_other = living is not None and living.id != subscription.id
    lives = ends_at > subscription.now and not is_other
    following = month_after(subscription.anchor, subscription.periods_granted)
    conn.execute(
        """update subscriptions set ends_at = %s, status = case when %s then 'active' else status end, next_grant_at = %s
            where id = %s""",
        [ends_at, lives, following if lives and following < ends_at else None, subscription.id],
    )
    data = {"subscription": subscription.id, "payment": payment_ref, "lives": lives}
    record(conn, by, "plan.repaid", str(subscription.account_id), **data)
    if lives:
        conn.execute("update accounts set plan_id = %s where id = %s", [subscription.plan_id, subscription.account_id])
        lasts = {"plan": subscription.plan_id, "interval": subscription.interval}
        events.add(conn, subscription.account_id, "subscription.extended", lasts)
        follow_role(conn, subscription.account_id, "pro", by=by)
        regrant_running(conn, subscription, by=by)
        grant_due_period(conn, subscription.id, by=by)
    return True


def _payment(
    conn: Connection[Any], payment_ref: str, which: Literal["p.unpaid_at is null", "p.unpaid_at is not null"]
) -> tuple[SubscriptionRow, int] | None:
    """Lock the account of a payment's months and read both. None: there are none of that kind."""
    row = conn.execute(
        """select s.account_id from subscription_payments p join subscriptions s on s.id = p.subscription_id
            where p.payment_ref = %s""",
        [payment_ref],
    ).fetchone()
    if row is None or read_locked(conn, row[0], "a.id") is None:
        return None
    paid = conn.execute(
        f"select p.months, p.subscription_id from subscription_payments p where p.payment_ref = %s and {which}",
        [payment_ref],
    ).fetchone()
    if paid is None:
        return None
    found = conn.execute(f"{READ} where s.id = %s", [paid[1]]).fetchone()
    assert found is not None  # noqa: S101 - a payment's subscription is held by a foreign key
    return SubscriptionRow(*found), paid[0]
