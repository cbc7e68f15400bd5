"""What the tests of payments buy, and what companies say of it."""

from decimal import Decimal
from typing import Any
from uuid import UUID

from models.access.audit_log import By
from models.db import transaction
from models.payments import orders, standings
from models.payments.orders import PaymentRow
from models.payments.standings import CompanyWord
from models.payments.states import Money

D = Decimal
BY = By("test")


def pack(name: str = "small", *, credits: int = 100, expires_days: int | None = None, **prices: str) -> str:
    """A pack at $10.00, if no prices are named."""
    with transaction() as conn:
        conn.execute(
            """insert into packs (id, name, position, credits, prices, expires_days) values (%s, %s, 1, %s, %s::jsonb, %s)
               on conflict (id) do update set prices = excluded.prices, credits = excluded.credits""",
            [name, name, credits, str(prices or {"USD": "10.00"}).replace("'", '"'), expires_days],
        )
    return name


def ordered(who: UUID, name: str = "small", *, currency: str = "USD", company: str = "xendit") -> UUID:
    """An order of a pack, which its company has taken."""
    with transaction() as conn:
        payment_id = orders.create(conn, who, orders.find_pack(conn, name, currency), company)
        if company != "manual":
            orders.record_opening(conn, payment_id, f"there-{payment_id}", "https://pay.example/x", None)
    return payment_id


def told(payment_id: UUID, money: Money = Money.PAID, amount: str | None = "10.00", **more: Any) -> bool:
    """Its company says this of it."""
    with transaction() as conn:
        row = orders.payment(conn, payment_id)
        paid = D(amount) if money is Money.PAID and amount is not None else None
        token = more.pop("token", None)
        values: dict[str, Any] = {"payment_ref": f"ref-{payment_id}", "paid": paid, "currency": "USD"} | more
        return standings.apply(conn, BY, payment_id, row.account_id, CompanyWord(money, **values), token=token)


def seen(payment_id: UUID) -> PaymentRow:
    """How it stands."""
    with transaction() as conn:
        return orders.payment(conn, payment_id)
