"""What a company says of a payment, and what follows: credits or a plan's months given, taken back, given again.

All of it happens under the account's lock, in one transaction with the credits that it moves.
"""

from datetime import datetime
from decimal import Decimal
from typing import Any, NamedTuple
from uuid import UUID

from psycopg import Connection

from common.errors import InvalidRequest, NotFound
from common.money import shown
from models.access import audit_log
from models.access.audit_log import By
from models.accounts import paid_periods
from models.credits import giving, ledger, revoking
from models.credits.ledger import Fund, GrantTerms
from models.events import events
from models.locks import lock_account
from models.payments import refills
from models.payments.due import record_refund_failed
from models.payments.states import (
    Dispute,
    Facts,
    Money,
    PaymentProblem,
    PaymentStatus,
    credits_due,
    merge,
    pause_of,
    period_due,
    problem_of,
    renewal_pause_of,
    status_of,
)

PERIODIC = (None, "subscription_create", "subscription_cycle")  # why an invoice was made that pays for a period
PAID_ELSEWHERE = "another order was paid by the same payment"
NO_PERIOD = "this invoice pays for no period"


class CompanyWord(NamedTuple):
    """What a company says of one payment; see `companies.base.CompanyStanding`."""

    money: Money
    payment_ref: str | None = None
    paid: Decimal | None = None
    currency: str | None = None
    refunded: Decimal = Decimal(0)
    refund_failed: bool = False
    dispute: Dispute | None = None
    paid_at: datetime | None = None
    customer_id: str | None = None
    card_id: str | None = None
    subscription_id: str | None = None
    billing_reason: str | None = None
    period_end: datetime | None = None
    reason: str | None = None


class _Order(NamedTuple):
    id: UUID
    account_id: UUID
    company: str
    purpose: str
    item: str
    interval: str | None
    credits: int
    price: Decimal
    currency: str
    credits_given: int
    moves: int
    holds: bool
    payment_ref: str | None
    paid_before: bool
    looks: int
    status: str
    late_seconds: float
    expires_days: int | None


_READ = """select p.id, p.account_id, p.company, p.purpose, p.item, p.interval, p.credits, p.price, p.currency, p.credits_given, p.moves,
                  p.holds, p.payment_ref, p.paid_at is not null, p.looks, p.status,
                  extract(epoch from app_now() - p.expires_at)::float8, k.expires_days,
                  p.money, p.paid, p.paid_currency, p.refunded, p.refund_failed, p.dispute
             from payments p left join packs k on k.id = p.item and p.purpose in ('pack', 'refill')
            where p.id = %s and (%s::bigint is null or p.token = %s) for no key update of p"""
_FACTS = 6  # of its columns are what was known before


def apply(
    conn: Connection[Any], by: By, payment_id: UUID, account_id: UUID, word: CompanyWord, *, token: int | None = None
) -> bool:
    """Take over what a company says of a payment. False: a later look has begun, whose word counts (`token`).

    Said twice, late or in another order it comes to the same.
    """
    lock_account(conn, account_id)
    row = conn.execute(_READ, [payment_id, token, token]).fetchone()
    if row is None:
        return False
    order, known = _Order(*row[:-_FACTS]), _facts(*row[-_FACTS:])
    if order.purpose == "renewal" and word.paid is not None:
        order = order._replace(
            price=word.paid, currency=word.currency or order.currency
        )  # what the company has asked for
    ref, refusal = _single(conn, order, word)
    if refusal is not None:
        word = word._replace(money=Money.FAILED, paid=None, reason=refusal)
    facts = merge(known, Facts(word.money, word.paid, word.currency, word.refunded, word.refund_failed, word.dispute))
    status = status_of(facts)
    changed = facts != known or status != order.status
    looks = 0 if changed else order.looks
    pause = pause_of(facts, looks, late_seconds=order.late_seconds) if order.company != "manual" else None
    following = _following(conn, order, facts, word) if order.company != "manual" else None
    if following is not None and (pause is None or following < pause):
        pause, looks = following, max(0, looks - 1)  # the next look is for the bill: those for late news go on after it
    conn.execute(
        """update payments set money = %(money)s, status = %(status)s, paid = %(paid)s, paid_currency = %(currency)s,
                  refunded = %(refunded)s, refund_failed = %(refund_failed)s, dispute = %(dispute)s, problem = %(problem)s,
                  reason = coalesce(%(reason)s, reason), payment_ref = coalesce(payment_ref, %(ref)s), price = %(price)s,
                  currency = %(price_currency)s,
                  paid_at = case when %(money)s = 'paid' then coalesce(paid_at, %(paid_at)s, app_now()) end,
                  customer_id = coalesce(%(customer)s, customer_id), card_id = coalesce(%(card)s, card_id),
                  subscription_id = coalesce(%(subscription)s, subscription_id), looks = %(looks)s,
                  check_at = app_now() + make_interval(secs => %(pause)s)
            where id = %(id)s""",
        {
            "id": order.id, "money": facts.money, "status": status, "paid": facts.paid, "currency": facts.currency,
            "refunded": facts.refunded, "refund_failed": facts.refund_failed, "dispute": facts.dispute,
            "problem": problem_of(facts, order.price, order.currency), "reason": word.reason, "ref": ref,
            "price": order.price, "price_currency": order.currency, "paid_at": word.paid_at, "customer": word.customer_id,
            "card": word.card_id, "subscription": word.subscription_id, "looks": looks, "pause": pause,
        },
    )  # fmt: skip
    if changed:
        audit_log.record(
            conn, by, f"payment.{status}", str(order.id), account=order.account_id, company=order.company,
            paid=facts.paid, currency=facts.currency, refunded=facts.refunded, before=order.status,
        )  # fmt: skip
    if order.purpose in ("plan", "renewal"):
        _follow_period(conn, by, order, facts, word, ref)
    else:
        _follow_credits(conn, by, order, facts)
    if order.purpose == "refill" and facts.money is Money.FAILED:
        refills.pause(conn, order.account_id, word.reason or "the card was declined")
    if facts.refund_failed:
        record_refund_failed(conn, order.id, facts.refunded)
    _tell(conn, order, facts, status)
    return True


def _following(conn: Connection[Any], order: _Order, facts: Facts, word: CompanyWord) -> int | None:
    """In how many seconds it is asked about again for the bill that is to follow it. None: there is none to wait for."""
    if word.subscription_id is None or word.period_end is None or facts.money is not Money.PAID:
        return None
    row = conn.execute(
        """select extract(epoch from app_now() - %s)::float8
            where not exists (select 1 from payments where account_id = %s and id > %s and subscription_id = %s)""",
        [word.period_end, order.account_id, order.id, word.subscription_id],
    ).fetchone()
    return None if row is None else renewal_pause_of(row[0])


def _facts(
    money: str, paid: Decimal | None, currency: str | None, refunded: Decimal, refund_failed: bool, dispute: str | None
) -> Facts:
    return Facts(Money(money), paid, currency, refunded, refund_failed, Dispute(dispute) if dispute else None)


def _single(conn: Connection[Any], order: _Order, word: CompanyWord) -> tuple[str | None, str | None]:
    """The payment by which this order was paid, and why it must not count: it paid another order, or for no period."""
    if word.money is not Money.PAID:
        return None, None
    if order.purpose == "renewal" and (word.billing_reason != "subscription_cycle" or not word.paid):
        return None, NO_PERIOD
    if order.purpose == "plan" and word.billing_reason not in PERIODIC:
        return None, NO_PERIOD
    ref = word.payment_ref
    if ref is None or order.payment_ref is not None:
        return order.payment_ref, None
    # Company and payment are the account's own, whose lock is held: nobody else can take them meanwhile.
    taken = conn.execute(
        "select 1 from payments where company = %s and payment_ref = %s and id <> %s", [order.company, ref, order.id]
    ).fetchone()
    return (None, PAID_ELSEWHERE) if taken else (ref, None)


def _follow_credits(conn: Connection[Any], by: By, order: _Order, facts: Facts) -> None:
    """Give what is due and was not given yet, or take back what is not due any more."""
    due = credits_due(order.credits, facts, order.price, order.currency)
    if due == order.credits_given:
        return
    conn.execute("update payments set credits_given = %s, moves = moves + 1 where id = %s", [due, order.id])
    if due > order.credits_given:
        expires_at = None
        if order.expires_days is not None:
            row = conn.execute("select app_now() + make_interval(days => %s)", [order.expires_days]).fetchone()
            expires_at = row[0] if row else None
        giving.give(
            conn, by, order.account_id, kind="purchase", amount=due - order.credits_given,
            ref=f"payment:{order.id}:{order.moves}", expires_at=expires_at, reason=f"payment {order.id}", terms=_terms(order, facts),
        )  # fmt: skip
        return
    missing = order.credits_given - due
    grants = conn.execute(
        """select id, amount - taken_back from grants
            where account_id = %s and ref like %s and amount > taken_back order by id desc""",
        [order.account_id, f"payment:{order.id}:%"],
    ).fetchall()
    # What an operator took of them by hand is not taken twice.
    left = sum(amount for _, amount in grants)
    lots = ledger.allocate((Fund(*each) for each in grants), min(missing, left))
    for lot in lots:
        revoking.take_back(conn, lot.grant_id, lot.amount)
    if lots:
        audit_log.record(
            conn,
            by,
            "credits.take_back",
            str(order.account_id),
            amount=min(missing, left),
            reason=f"payment {order.id}",
        )


def _terms(order: _Order, facts: Facts) -> GrantTerms:
    """What was paid for each credit, in what was really paid."""
    if facts.paid is None or not order.credits or facts.currency is None:
        return GrantTerms()
    return GrantTerms(paid_per_credit=min(facts.paid, order.price) / order.credits, paid_currency=facts.currency)


def _follow_period(
    conn: Connection[Any], by: By, order: _Order, facts: Facts, word: CompanyWord, ref: str | None
) -> None:
    """Give a plan's months, or take them off again."""
    due = period_due(facts, order.price, order.currency)
    payment_ref = f"{order.company}:{ref or order.payment_ref or order.id}"
    if due == order.holds:
        return
    if not due:
        paid_periods.unpay(conn, payment_ref, by=by)
    elif order.moves:
        paid_periods.repay(conn, payment_ref, by=by)
    else:
        try:
            paid_periods.pay_subscription(
                conn, order.account_id, order.item, order.interval or "monthly", payment_ref=payment_ref,
                renewer="stripe" if word.subscription_id else order.company, company_id=word.subscription_id,
                period_end=word.period_end, by=by,
            )  # fmt: skip
        except (InvalidRequest, NotFound) as error:
            # The money is there all the same: people look, and later looks try again.
            conn.execute(
                "update payments set problem = %s, reason = %s where id = %s",
                [PaymentProblem.NOT_GIVEN, error.detail[:500], order.id],
            )
            return
    conn.execute("update payments set holds = %s, moves = moves + 1, reason = null where id = %s", [due, order.id])


def _tell(conn: Connection[Any], order: _Order, facts: Facts, status: PaymentStatus) -> None:
    if status == order.status:
        return
    data = {"payment": str(order.id), "status": status, "before": order.status, "item": order.item}
    if facts.money is Money.PAID and not order.paid_before and facts.paid is not None:
        paid = f"{shown(facts.paid, facts.currency or order.currency)} {facts.currency or order.currency}"
        events.add(conn, order.account_id, "payment.succeeded", {**data, "paid": paid})
    else:
        events.add(conn, order.account_id, "payment.changed", data)
