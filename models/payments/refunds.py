"""What people do with payments by hand: money that came by another way, and money that goes back."""

from decimal import Decimal
from typing import Any, NamedTuple
from uuid import UUID

from psycopg import Connection
from uuid_utils.compat import uuid7

from common.errors import InvalidInput, InvalidRequest, NotFound
from models.access import audit_log
from models.access.audit_log import By
from models.locks import lock_account
from models.payments import standings
from models.payments.standings import CompanyWord
from models.payments.states import Dispute, Money


class _Held(NamedTuple):
    account_id: UUID
    company: str
    price: Decimal
    currency: str
    money: str
    paid: Decimal | None
    paid_currency: str | None
    refunded: Decimal
    dispute: str | None
    ordered: Decimal  # refunds that are on their way


def _held(conn: Connection[Any], payment_id: UUID) -> _Held:
    """A payment, with its account locked. Raises NotFound."""
    row = conn.execute("select account_id from payments where id = %s", [payment_id]).fetchone()
    if row is None:
        raise NotFound(f"no payment {payment_id}", param="id")
    lock_account(conn, row[0])
    found = conn.execute(
        """select account_id, company, price, currency, money, paid, paid_currency, refunded, dispute,
                  coalesce((select sum(amount) from refunds r where r.payment_id = p.id and r.refused is null), 0)
             from payments p where id = %s for no key update of p""",
        [payment_id],
    ).fetchone()
    assert found is not None  # noqa: S101 - payments are never removed
    return _Held(*found)


def mark_paid(conn: Connection[Any], by: By, payment_id: UUID, amount: Decimal | None, reason: str) -> None:
    """Say that the money for an order of the company `manual` is there. Said again it changes nothing.

    Raises NotFound, and InvalidRequest for another company's, whose own word counts.
    """
    held = _held(conn, payment_id)
    if held.company != "manual":
        raise InvalidRequest(f"{held.company} says by itself what was paid", param="id")
    if held.money == Money.PAID:
        return
    audit_log.record(conn, by, "payment.mark_paid", str(payment_id), amount=amount or held.price, reason=reason)
    word = CompanyWord(Money.PAID, payment_ref=str(payment_id), paid=amount or held.price, currency=held.currency)
    standings.apply(conn, by, payment_id, held.account_id, word)


def order_refund(conn: Connection[Any], by: By, payment_id: UUID, amount: Decimal | None, reason: str) -> Decimal:
    """Have money given back: so much, or all that is left. Returns the amount. Credits follow when the company says that it
    is done; of `manual` at once. Raises NotFound, InvalidRequest, InvalidInput.
    """
    held = _held(conn, payment_id)
    if held.money != Money.PAID or held.paid is None:
        raise InvalidRequest("nothing was paid that could go back", param="id")
    if held.dispute in (Dispute.OPEN, Dispute.LOST):
        raise InvalidRequest("the payer's bank has this money; a refund would pay it twice", param="id")
    left = held.paid - max(held.refunded, held.ordered)
    wanted = amount if amount is not None else left
    if not 0 < wanted <= left:
        raise InvalidInput(f"{wanted} cannot go back; {left} {held.paid_currency} are left of it", param="amount")
    refund_id, is_manual = uuid7(), held.company == "manual"
    conn.execute(
        """insert into refunds (id, payment_id, amount, reason, check_at, sent_at)
           values (%s, %s, %s, %s, case when %s then null else app_now() end, case when %s then app_now() end)""",
        [refund_id, payment_id, wanted, reason, is_manual, is_manual],
    )
    audit_log.record(conn, by, "payment.refund", str(payment_id), amount=wanted, reason=reason)
    if is_manual:
        word = CompanyWord(
            Money.PAID, paid=held.paid, currency=held.paid_currency, refunded=held.refunded + wanted,
            dispute=Dispute(held.dispute) if held.dispute else None,
        )  # fmt: skip
        standings.apply(conn, by, payment_id, held.account_id, word)
    return wanted
