"""Orders of packs and plans: what they cost, in one currency, and how they stand."""

from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal
from typing import Any, NamedTuple
from uuid import UUID

from psycopg import Connection
from uuid_utils.compat import uuid7

from common.errors import InvalidInput, InvalidRequest, NotFound, TooManyOrders
from common.settings import settings
from models.accounts.subscriptions import find_living
from models.catalogue.plans import is_shown
from models.locks import lock_account
from models.payments.states import PaymentStatus

MAX_OPEN = 20  # orders of one account that nobody has paid yet: each is something at a company


class SaleItem(NamedTuple):
    """What is sold, at its price in one currency. `credits` of a plan are its periods', and 0 here."""

    purpose: str
    id: str
    name: str
    credits: int
    price: Decimal
    currency: str
    interval: str | None = None


class PaymentRow(NamedTuple):
    """A payment as its account sees it."""

    id: UUID
    account_id: UUID
    company: str
    purpose: str
    item: str
    interval: str | None
    credits: int
    credits_given: int
    price: Decimal
    currency: str
    status: PaymentStatus
    paid: Decimal | None
    refunded: Decimal
    problem: str | None
    reason: str | None
    company_id: str | None
    payment_ref: str | None
    pay_url: str | None
    expires_at: datetime
    created_at: datetime
    paid_at: datetime | None


# An order whose time is over is paid nowhere: whoever opens its page then finds a dead one.
_SHOWN = ", ".join(f"p.{name}" for name in PaymentRow._fields).replace(
    "p.pay_url", "case when p.expires_at > app_now() then p.pay_url end"
)


def find_pack(conn: Connection[Any], pack_id: str, currency: str) -> SaleItem:
    """A pack at its price. Raises NotFound, and InvalidInput for a currency that it is not sold in."""
    row = conn.execute("select id, name, credits, prices, product from packs where id = %s", [pack_id]).fetchone()
    if row is None or not is_shown(row[4]):
        raise NotFound(f"no pack {pack_id[:40]!r}", param="pack")
    return SaleItem("pack", row[0], row[1], row[2], _price(row[3], currency, row[0]), currency)


def find_plan(conn: Connection[Any], plan_id: str, interval: str, currency: str) -> SaleItem:
    """A plan at its price for a month or a year. Raises NotFound and InvalidInput."""
    row = conn.execute("select id, name, prices, product, granted from plans where id = %s", [plan_id]).fetchone()
    if row is None or not is_shown(row[3]):
        raise NotFound(f"no plan {plan_id[:40]!r}", param="plan")
    prices = (row[2] or {}).get(interval)
    if not prices or row[4] != "monthly":
        sold = sorted(row[2] or {}) if row[4] == "monthly" else []
        raise InvalidInput(
            f"plan {row[0]!r} is not sold {interval}" + (f"; it is sold {', '.join(sold)}" if sold else " at all"),
            param="interval" if sold else "plan",
        )
    return SaleItem("plan", row[0], row[1], 0, _price(prices, currency, row[0]), currency, interval)


def _price(prices: Mapping[str, str], currency: str, what: str) -> Decimal:
    found = prices.get(currency)
    if found is None:
        raise InvalidInput(
            f"{what!r} has no price in {currency[:10]!r}; it has one in {', '.join(sorted(prices))}", param="currency"
        )
    return Decimal(found)


def create(
    conn: Connection[Any],
    account_id: UUID,
    item: SaleItem,
    company: str,
    *,
    return_url: str | None = None,
    keep_card: bool = False,
) -> UUID:
    """Write an order down, before its company hears of it; of a plan that Stripe would renew, the one that waits already.
    Raises TooManyOrders, NotFound, and InvalidRequest for a plan that Stripe renews already, or that waits at another price:
    it would bill two, of which only one is known here.
    """
    if not lock_account(conn, account_id):
        raise NotFound(f"no account {account_id}")
    if item.purpose == "plan" and company == "stripe":
        waiting = _waiting_renewal(conn, account_id, item)
        if waiting is not None:
            return waiting
    row = conn.execute(
        "select count(*) from payments where account_id = %s and money = 'pending' and expires_at > app_now()",
        [account_id],
    ).fetchone()
    if row and row[0] >= MAX_OPEN:
        raise TooManyOrders(
            f"{row[0]} orders of this account wait to be paid; the limit is {MAX_OPEN}. Pay one, or let them expire"
        )
    payment_id = uuid7()
    conn.execute(
        """insert into payments (id, account_id, company, purpose, item, interval, credits, price, currency, return_url,
                                 keep_card, expires_at, check_at)
           values (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, app_now() + make_interval(hours => %s),
                   case when %s then null else app_now() + interval '60 s' end)""",
        [
            payment_id, account_id, company, item.purpose, item.id, item.interval, item.credits, item.price, item.currency,
            return_url, keep_card, settings().payment_hours, company == "manual",
        ],
    )  # fmt: skip
    return payment_id


def _waiting_renewal(conn: Connection[Any], account_id: UUID, item: SaleItem) -> UUID | None:
    """The order of a plan at Stripe that can be paid yet: two that are both paid would be two subscriptions. Raises
    InvalidRequest where it runs already, or waits to be paid otherwise.
    """
    running = find_living(conn, account_id)
    if running and (running.plan_id, running.status, running.renewer, running.cancel_at_end) == (
        item.id, "active", "stripe", False,
    ):  # fmt: skip
        raise InvalidRequest(f"plan {item.id!r} is renewed by Stripe already", param="plan")
    row = conn.execute(
        """select id, interval, currency, price from payments
            where account_id = %s and purpose = 'plan' and company = 'stripe' and item = %s and money in ('pending', 'processing')
              and expires_at > app_now() order by id desc limit 1""",
        [account_id, item.id],
    ).fetchone()
    if row is None:
        return None
    if row[1:] != (item.interval, item.currency, item.price):
        raise InvalidRequest(
            f"an order of plan {item.id!r} for {row[3].normalize():f} {row[2]} {row[1]} waits to be paid; let it expire first",
            param="plan", payment=str(row[0]),
        )  # fmt: skip
    return UUID(str(row[0]))


def record_opening(
    conn: Connection[Any], payment_id: UUID, company_id: str, pay_url: str | None, expires_at: datetime | None
) -> None:
    """Write down what an order is at its company. Once: whoever comes later has made the same there, by the same key."""
    conn.execute(
        """update payments set company_id = %s, pay_url = %s, expires_at = coalesce(%s, expires_at), looks = 0,
                  check_at = app_now() + interval '30 s'
            where id = %s and company_id is null and money = 'pending'""",
        [company_id, pay_url, expires_at, payment_id],
    )


def record_refusal(conn: Connection[Any], payment_id: UUID, reason: str) -> None:
    """A company does not take this order, for good."""
    conn.execute(
        """update payments set money = 'failed', status = 'failed', reason = %s, check_at = null
            where id = %s and company_id is null and money = 'pending'""",
        [reason[:500], payment_id],
    )


def payment(conn: Connection[Any], payment_id: UUID, *, account_id: UUID | None = None) -> PaymentRow:
    """One payment, of this account. Raises NotFound."""
    row = conn.execute(
        f"select {_SHOWN} from payments p where p.id = %s and (%s::uuid is null or p.account_id = %s)",
        [payment_id, account_id, account_id],
    ).fetchone()
    if row is None:
        raise NotFound(f"no payment {payment_id}", param="id")
    return _row(row)


def list_payments(
    conn: Connection[Any],
    *,
    account_id: UUID | None = None,
    before: UUID | None = None,
    problems: bool = False,
    limit: int = 50,
) -> list[PaymentRow]:
    """Payments, newest first. `problems`: only those that people should look at."""
    rows = conn.execute(
        f"""select {_SHOWN} from payments p
             where (%(account)s::uuid is null or p.account_id = %(account)s)
               and (%(before)s::uuid is null or p.id < %(before)s) and (not %(problems)s or p.problem is not null)
             order by p.id desc limit %(limit)s""",
        {"account": account_id, "before": before, "problems": problems, "limit": limit},
    ).fetchall()
    return [_row(row) for row in rows]


def customers_of(conn: Connection[Any], account_id: UUID) -> dict[str, str]:
    """Who an account is to each company that knows it: company → its newest customer id there."""
    rows = conn.execute(
        """select distinct on (company) company, customer_id from payments
            where account_id = %s and customer_id is not null order by company, id desc""",
        [account_id],
    ).fetchall()
    return {row[0]: row[1] for row in rows}


def _row(values: tuple[Any, ...]) -> PaymentRow:
    row = PaymentRow(*values)
    return row._replace(status=PaymentStatus(row.status))
