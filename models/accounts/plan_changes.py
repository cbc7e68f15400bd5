"""What accounts ask for: a trial, another plan, an end, and to undo that."""

from typing import Any, Literal
from uuid import UUID

from psycopg import Connection
from uuid_utils.compat import uuid7

from common.errors import InvalidRequest, NotFound, PaymentRequired
from common.settings import settings
from models.access.audit_log import By, record, why
from models.accounts.paid_periods import end_credits
from models.accounts.periods import INTERVALS, is_upgrade, month_after, prorated
from models.accounts.subscriptions import SubscriptionRow, expire, find_living, follow_role, put_on_plan
from models.catalogue.plans import is_shown
from models.credits import giving
from models.events import events
from models.locks import lock_account

When = Literal["now", "period_end"]


def start_trial(conn: Connection[Any], account_id: UUID, plan_id: str, *, by: By) -> UUID:
    """Put an account on a plan for its days of trial, with a period's credits, once per account. Raises NotFound and
    InvalidRequest.
    """
    if not lock_account(conn, account_id):
        raise NotFound(f"no account {account_id}")
    row = conn.execute(
        """select trial_days, credits, product, app_now(), app_now() + make_interval(hours => 24 * trial_days) from plans
            where id = %s""",
        [plan_id],
    ).fetchone()
    if row is None or not is_shown(row[2]):
        raise NotFound(f"no plan {plan_id[:40]!r}", param="plan")
    if not row[0]:
        raise InvalidRequest(f"plan {plan_id!r} has no trial", param="plan")
    if find_living(conn, account_id) is not None:
        raise InvalidRequest("the account is on a subscription already", param="plan")
    if conn.execute(
        "select 1 from subscriptions where account_id = %s and trial_ends_at is not null", [account_id]
    ).fetchone():
        raise InvalidRequest("the account has had its trial", param="plan")
    subscription_id, now, ends_at = uuid7(), row[3], row[4]
    conn.execute(
        """insert into subscriptions (id, account_id, plan_id, interval, status, started_at, anchor, ends_at, trial_ends_at)
           values (%s, %s, %s, 'monthly', 'trial', %s, %s, %s, %s)""",
        [subscription_id, account_id, plan_id, now, ends_at, ends_at, ends_at],
    )
    conn.execute("update accounts set plan_id = %s where id = %s", [plan_id, account_id])
    data = {"plan": plan_id, "interval": "monthly", "trial_ends_at": ends_at}
    events.add(conn, account_id, "subscription.started", data)
    record(conn, by, "plan.trial", str(account_id), subscription=subscription_id, **data)
    follow_role(conn, account_id, "pro", by=by)
    if row[1]:
        giving.give(
            conn, by, account_id, kind="plan", amount=row[1], ref=f"plan:{subscription_id}:trial", expires_at=ends_at,
            reason=f"trial of plan {plan_id}",
        )  # fmt: skip
    return subscription_id


def change_plan(
    conn: Connection[Any],
    account_id: UUID,
    plan_id: str,
    *,
    by: By,
    interval: str | None = None,
    when: When | None = None,
    paid: bool = False,
    company_knows: bool = False,
    reason: str | None = None,
) -> SubscriptionRow:
    """Put a running subscription on another plan: at once, or at the end of what is paid, from where on it is renewed as
    the new one. Not said when: what is more comes at once, what is less at the end. The plan that it is on: undo such a
    change.

    What is more comes at once only where it is `paid`, which an operator may say; else PaymentRequired, since a payment for
    that plan is what does it. Raises NotFound and InvalidRequest.
    """
    found = _running(conn, account_id, company_knows=company_knows)
    interval = interval or found.interval
    if interval not in INTERVALS:
        raise InvalidRequest(f"interval is one of {', '.join(INTERVALS)}", param="interval")
    terms = {
        row[0]: row[1:]
        for row in conn.execute(
            "select id, prices, position, granted, product, credits from plans where id = any(%s)",
            [[found.plan_id, plan_id]],
        )
    }
    if plan_id not in terms or not (is_shown(terms[plan_id][3]) or paid):
        raise NotFound(f"no plan {plan_id[:40]!r}", param="plan")
    old, new = terms[found.plan_id], terms[plan_id]
    if new[2] != "monthly":
        raise InvalidRequest(f"plan {plan_id!r} cannot be subscribed to: cancel instead", param="plan")
    is_more = is_upgrade(old[0], new[0], later=new[1] > old[1])
    when = when or ("now" if is_more else "period_end")
    if plan_id == found.plan_id and interval == found.interval:
        _plan_next(conn, found, None, None)
        if found.next_plan_id is not None:
            kept = {"plan": found.plan_id, "before": found.next_plan_id}
            record(conn, by, "plan.kept", str(account_id), subscription=found.id, **kept, **why(reason))
    elif when == "period_end" or plan_id == found.plan_id:
        _plan_next(conn, found, plan_id, interval)
        data = {"plan": found.plan_id, "next": plan_id, "interval": interval, "at": found.ends_at}
        record(conn, by, "plan.planned", str(account_id), subscription=found.id, **data, **why(reason))
        events.add(conn, account_id, "subscription.planned", data)
    elif is_more and not paid:
        raise PaymentRequired(
            f"plan {plan_id!r} costs more than {found.plan_id!r}: order it, and it begins when it is paid"
        )
    else:
        _change_now(conn, found, plan_id, interval, old[4], new[4], by=by, reason=reason)
    return _running(conn, account_id)


def _running(conn: Connection[Any], account_id: UUID, *, company_knows: bool = True) -> SubscriptionRow:
    """Lock an account and read the subscription that it is on. Raises NotFound, and InvalidRequest for one that a company
    runs by itself and has not heard of this: it would go on taking money.
    """
    found = find_living(conn, account_id) if lock_account(conn, account_id) else None
    if found is None or found.lapses_at() <= found.now:
        raise NotFound("the account is on no subscription")
    if found.renewer == "stripe" and not company_knows:
        raise InvalidRequest("this subscription is run by Stripe, and only Stripe can change it")
    return found


def _plan_next(conn: Connection[Any], found: SubscriptionRow, plan_id: str | None, interval: str | None) -> None:
    conn.execute(
        """update subscriptions set next_plan_id = %s, next_interval = %s, change_at = case when %s::text is not null then ends_at end
            where id = %s""",
        [plan_id, interval, plan_id, found.id],
    )


def _change_now(
    conn: Connection[Any], found: SubscriptionRow, plan_id: str, interval: str, before: int, after: int, *, by: By,
    reason: str | None,
) -> None:  # fmt: skip
    """The paid time stays. Of the running period's credits the new plan gives its share of what is left: beside those that
    are kept, only what it gives more.
    """
    revokes = settings().plan_change_credits == "revoke"
    put_on_plan(conn, found, plan_id, interval, by=by, credits=settings().plan_change_credits, reason=reason)
    if revokes:
        end_credits(conn, found)
    start = month_after(found.anchor, found.periods_granted - 1)
    end = month_after(found.anchor, found.periods_granted)
    amount = prorated(after if revokes else max(0, after - before), start, end, found.now)
    if found.periods_granted and end > found.now and amount:
        giving.give(
            conn, by, found.account_id, kind="plan", amount=amount, ref=f"change:{found.id}:{uuid7()}", expires_at=end,
            reason=f"from plan {found.plan_id} to {plan_id}: its share of the period",
        )  # fmt: skip


def cancel(conn: Connection[Any], account_id: UUID, *, by: By, company_knows: bool = False) -> SubscriptionRow | None:
    """Let a subscription end with what is paid; again is fine. One that waits for its payment ends now: None. Raises
    NotFound, and InvalidRequest where a company runs it that does not know of this.
    """
    found = _running(conn, account_id, company_knows=company_knows)
    if found.status == "past_due":
        expire(conn, found, settings().default_plan, by=by)
        return None
    if not found.cancel_at_end:
        conn.execute("update subscriptions set cancel_at_end = true where id = %s", [found.id])
        data = {"plan": found.plan_id, "ends_at": found.ends_at}
        events.add(conn, account_id, "subscription.canceled", data)
        record(conn, by, "plan.canceled", str(account_id), subscription=found.id, **data)
    return _running(conn, account_id)


def resume(conn: Connection[Any], account_id: UUID, *, by: By, company_knows: bool = False) -> SubscriptionRow:
    """Undo a cancel while the subscription runs; again is fine. Raises as `cancel`."""
    found = _running(conn, account_id, company_knows=company_knows)
    if found.cancel_at_end:
        conn.execute("update subscriptions set cancel_at_end = false where id = %s", [found.id])
        events.add(conn, account_id, "subscription.resumed", {"plan": found.plan_id})
        record(conn, by, "plan.resumed", str(account_id), subscription=found.id, plan=found.plan_id)
    return _running(conn, account_id)
