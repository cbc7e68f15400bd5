"""Which payments a company is asked about now: those that wait, those that a hook pointed at, and rarely all others."""

from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any, NamedTuple
from uuid import UUID

from psycopg import Connection

from models.access import audit_log
from models.access.audit_log import By

LOOK_SECONDS = 120  # for which a look is its process's own: longer than a company's answer is waited for


class DuePayment(NamedTuple):
    """A payment to look at; without `company_id` its company may not have heard of it yet."""

    id: UUID
    account_id: UUID
    company: str
    company_id: str | None
    token: int
    purpose: str
    item: str
    interval: str | None
    price: Decimal
    currency: str
    return_url: str | None
    keep_card: bool
    customer_id: str | None
    card_id: str | None
    expires_at: datetime
    email: str | None
    name: str | None


class DueRefund(NamedTuple):
    """A refund that its company has not taken yet."""

    id: UUID
    payment_id: UUID
    company: str
    company_id: str
    amount: Decimal
    currency: str
    reason: str


_ORDER = """p.id, p.account_id, p.company, p.company_id, p.token, p.purpose, p.item, p.interval, p.price, p.currency, p.return_url,
            p.keep_card, p.customer_id, p.card_id, p.expires_at, u.email, nullif(concat_ws(' ', u.first_name, u.last_name), '')"""


def claim(conn: Connection[Any], limit: int, *, without: Sequence[str] = ()) -> list[DuePayment]:
    """Take payments that are due, for `LOOK_SECONDS`; not those of companies that are away."""
    rows = conn.execute(
        f"""with due as (
              select id from payments where check_at <= app_now() and not (company = any(%s))
               order by check_at limit %s for update skip locked
            ), taken as (
              update payments p set token = token + 1, looks = looks + 1,
                     check_at = app_now() + make_interval(secs => {LOOK_SECONDS}) from due where p.id = due.id returning p.*
            )
            select {_ORDER} from taken p join accounts a on a.id = p.account_id join users u on u.id = a.user_id order by p.id""",
        [list(without), limit],
    ).fetchall()
    return [DuePayment(*row) for row in rows]


def begin_opening(conn: Connection[Any], payment_id: UUID) -> DuePayment | None:
    """Take an order that its company has not heard of, to tell it. None: it has, or the order is over."""
    row = conn.execute(
        f"""with taken as (
              update payments set token = token + 1, check_at = app_now() + make_interval(secs => {LOOK_SECONDS})
               where id = %s and company_id is null and money = 'pending' and company <> 'manual' returning *)
            select {_ORDER} from taken p join accounts a on a.id = p.account_id join users u on u.id = a.user_id""",
        [payment_id],
    ).fetchone()
    return DuePayment(*row) if row else None


def put_off(conn: Connection[Any], payment_id: UUID, token: int, seconds: float) -> None:
    """Its company said nothing that counts: ask again later. It is no look: else those for late news were used up."""
    conn.execute(
        """update payments set check_at = app_now() + make_interval(secs => %s), looks = greatest(looks - 1, 0)
            where id = %s and token = %s""",
        [seconds, payment_id, token],
    )


def put_off_unclear(conn: Connection[Any], by: By, payment_id: UUID, token: int, why: str) -> bool:
    """Its company says what is not understood: ask again in growing pauses, of 1 minute to 6 hours. Whether that is new, and
    so to be said to people: it is an act then, once per payment and word.
    """
    held = conn.execute(
        """update payments set check_at = app_now() + make_interval(secs => least(60 * 2 ^ least(looks, 10), 21600))
            where id = %s and token = %s""",
        [payment_id, token],
    ).rowcount
    if (
        not held
        or conn.execute(
            "select 1 from acts where subject = %s and action = 'payment.unclear' and details->>'reason' = %s",
            [str(payment_id), why],
        ).fetchone()
    ):
        return False
    audit_log.record(conn, by, "payment.unclear", str(payment_id), reason=why)
    return True


def claim_refunds(conn: Connection[Any], limit: int, *, without: Sequence[str] = ()) -> list[DueRefund]:
    """Take refunds that are to be asked for, or asked for again with the same key."""
    rows = conn.execute(
        f"""with due as (
              select r.id from refunds r join payments p on p.id = r.payment_id
               where r.check_at <= app_now() and not (p.company = any(%s)) order by r.check_at limit %s
                 for update of r skip locked
            ), taken as (
              update refunds r set tries = tries + 1,
                     check_at = app_now() + make_interval(secs => {LOOK_SECONDS} * least(tries + 1, 30))
                from due where r.id = due.id returning r.*
            )
            select r.id, r.payment_id, p.company, p.company_id, r.amount, p.paid_currency, r.reason
              from taken r join payments p on p.id = r.payment_id where p.company_id is not null""",
        [list(without), limit],
    ).fetchall()
    return [DueRefund(*row) for row in rows]


def record_refund_sent(conn: Connection[Any], refund_id: UUID, *, refused: str | None = None) -> None:
    """Its company has taken the order of a refund, or refused it for good; the payment is looked at next."""
    conn.execute(
        """with done as (
             update refunds set check_at = null, refused = %(refused)s,
                    sent_at = case when %(refused)s::text is null then app_now() end
              where id = %(id)s and check_at is not null returning payment_id)
           update payments p set check_at = app_now(), looks = 0, token = token + 1
             from done where p.id = done.payment_id and p.company <> 'manual'""",
        # A look that is under way may have come too early to see it: its word does not count any more.
        {"id": refund_id, "refused": refused},
    )


def record_refund_failed(conn: Connection[Any], payment_id: UUID, refunded: Decimal) -> None:
    """A company that had taken a refund says that it failed after all: the newest that is not in what went back can be
    ordered again. The caller holds the account's lock.
    """
    conn.execute(
        """update refunds set refused = 'it failed at the company', sent_at = null
            where id = (select id from refunds where payment_id = %(id)s and sent_at is not null order by id desc limit 1)
              and (select sum(amount) from refunds where payment_id = %(id)s and sent_at is not null) > %(refunded)s""",
        {"id": payment_id, "refunded": refunded},
    )
