"""Automatic refills: whoever wants it has a pack bought with the card that was kept, when the credits fall below a limit.

One is under way per account at a time, sized to close the gap at once. A card that wants its owner, or is declined, pauses
them until the owner says to go on.
"""

from datetime import datetime
from decimal import Decimal
from typing import Any, NamedTuple
from uuid import UUID

from psycopg import Connection
from sqlalchemy import BigInteger, CheckConstraint, Column, Index, Text, text
from sqlmodel import Field, SQLModel
from uuid_utils.compat import uuid7

from common.errors import InvalidInput, NotFound
from common.settings import settings
from models.access import audit_log
from models.access.audit_log import By
from models.accounts.subscriptions import SCHEDULER
from models.columns import created_at, moment
from models.events import events
from models.locks import lock_account, read_locked
from models.payments.orders import SaleItem, find_pack
from models.payments.tables import AMOUNT

MAX_PACKS = 100  # in one refill
NEEDS_PAYER = "authentication_required"


class Refill(SQLModel, table=True):
    """What an account wants. `monthly_limit` is in major units of `currency`, for each calendar month in UTC."""

    __tablename__ = "refills"
    __table_args__ = (
        CheckConstraint("threshold > 0 and monthly_limit > 0", name="positive"),
        Index("ix_refills_on", "account_id", postgresql_where=text("paused is null")),
    )

    account_id: UUID = Field(primary_key=True, foreign_key="accounts.id")
    pack_id: str = Field(sa_type=Text, nullable=False)
    currency: str = Field(sa_type=Text, nullable=False)
    threshold: int = Field(sa_type=BigInteger, nullable=False)
    monthly_limit: Decimal = Field(sa_column=Column(AMOUNT, nullable=False))
    company: str = Field(sa_type=Text, nullable=False)
    customer_id: str = Field(sa_type=Text, nullable=False)
    card_id: str = Field(sa_type=Text, nullable=False)
    paused: str | None = Field(default=None, sa_type=Text, nullable=True)  # why
    ordered_at: datetime | None = moment()
    created_at: datetime = created_at()


class RefillRow(NamedTuple):
    """What an account wants, and how it goes."""

    pack: str
    currency: str
    threshold: int
    monthly_limit: Decimal
    paused: str | None
    ordered_at: datetime | None


_SHOWN = "pack_id, currency, threshold, monthly_limit, paused, ordered_at"


def find(conn: Connection[Any], account_id: UUID) -> RefillRow:
    """Raises NotFound."""
    row = conn.execute(f"select {_SHOWN} from refills where account_id = %s", [account_id]).fetchone()
    if row is None:
        raise NotFound("this account has no automatic refill")
    return RefillRow(*row)


def switch_on(
    conn: Connection[Any], account_id: UUID, pack_id: str, currency: str, threshold: int, monthly_limit: Decimal
) -> RefillRow:
    """Buy packs by themselves from now on, or go on after a pause, with the card that was kept last. Raises InvalidInput
    where no card was kept, or the limit is less than one pack.
    """
    lock_account(conn, account_id)
    item = find_pack(conn, pack_id, currency)
    if monthly_limit < item.price:
        raise InvalidInput(
            f"one pack costs {item.price} {currency}, more than the limit of a month", param="monthly_limit"
        )
    card = conn.execute(
        """select company, customer_id, card_id from payments
            where account_id = %s and card_id is not null and customer_id is not null order by id desc limit 1""",
        [account_id],
    ).fetchone()
    if card is None:
        raise InvalidInput("no card was kept: pay once with keep_card, by a company that keeps cards", param="pack")
    row = conn.execute(
        f"""insert into refills (account_id, pack_id, currency, threshold, monthly_limit, company, customer_id, card_id)
            values (%s, %s, %s, %s, %s, %s, %s, %s)
            on conflict (account_id) do update set pack_id = excluded.pack_id, currency = excluded.currency,
              threshold = excluded.threshold, monthly_limit = excluded.monthly_limit, company = excluded.company,
              customer_id = excluded.customer_id, card_id = excluded.card_id, paused = null
            returning {_SHOWN}""",
        [account_id, pack_id, currency, threshold, monthly_limit, *card],
    ).fetchone()
    assert row is not None  # noqa: S101 - it was written just now
    return RefillRow(*row)


def switch_off(conn: Connection[Any], account_id: UUID) -> None:
    """Buy nothing more by itself. What is under way goes on. Raises NotFound."""
    if not conn.execute("delete from refills where account_id = %s", [account_id]).rowcount:
        raise NotFound("this account has no automatic refill")


# On, not just ordered, none under way, and its owner is let in: nobody's card is charged for what they cannot use.
_MAY = """t.paused is null and (t.ordered_at is null or t.ordered_at < app_now() - make_interval(secs => %(pause)s))
          and not exists (select 1 from payments p where p.account_id = t.account_id and p.purpose = 'refill'
                             and p.money in ('pending', 'processing'))
          and exists (select 1 from accounts o join users u on u.id = o.user_id
                       where o.id = t.account_id and u.deleted_at is null and u.suspended_at is null and not u.banned)"""


def due(conn: Connection[Any], limit: int) -> list[UUID]:
    """Accounts that may need one. Picked without a lock."""
    rows = conn.execute(
        f"""select t.account_id from refills t join accounts a on a.id = t.account_id
             where a.available < t.threshold and {_MAY} order by t.ordered_at nulls first limit %(limit)s""",
        {"pause": settings().refill_pause_seconds, "limit": limit},
    ).fetchall()
    return [row[0] for row in rows]


def order(conn: Connection[Any], account_id: UUID, *, by: By = SCHEDULER) -> UUID | None:
    """Order the packs that an account is short of, once, within its month's limit. The payment is due at once. None: it
    needs none, one is under way, or the month's limit is reached, which pauses nothing: next month is another.
    """
    sums = read_locked(conn, account_id, "a.available - a.debt")
    row = conn.execute(
        f"""select pack_id, currency, threshold, monthly_limit, company, customer_id, card_id,
                  (select coalesce(sum(price), 0) from payments p
                    where p.account_id = t.account_id and p.purpose = 'refill' and p.currency = t.currency
                      and p.money in ('pending', 'processing', 'paid')
                      and p.created_at >= date_trunc('month', app_now() at time zone 'UTC') at time zone 'UTC')
             from refills t where account_id = %(account)s and {_MAY}""",
        {"account": account_id, "pause": settings().refill_pause_seconds},
    ).fetchone()
    if sums is None or row is None or sums[0] >= row[2]:
        return None
    pack_id, currency, threshold, monthly_limit, company, customer_id, card_id, spent = row
    try:
        pack = find_pack(conn, pack_id, currency)
    except (NotFound, InvalidInput) as error:  # an operator has changed the catalogue since
        pause(conn, account_id, error.detail)
        return None
    count = min(-((sums[0] - threshold) // pack.credits), MAX_PACKS, int((monthly_limit - spent) // pack.price))
    conn.execute("update refills set ordered_at = app_now() where account_id = %s", [account_id])
    if count < 1:
        return None
    payment_id = uuid7()
    item = SaleItem("refill", pack.id, pack.name, pack.credits * count, pack.price * count, currency)
    conn.execute(
        """insert into payments (id, account_id, company, purpose, item, credits, price, currency, customer_id, card_id, expires_at,
                                 check_at)
           values (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, app_now() + interval '1 day', app_now())""",
        [
            payment_id,
            account_id,
            company,
            item.purpose,
            item.id,
            item.credits,
            item.price,
            currency,
            customer_id,
            card_id,
        ],
    )
    audit_log.record(
        conn, by, "refill.order", str(account_id), payment=payment_id, amount=item.price, currency=currency,
        reason=f"fewer than {threshold} credits",
    )  # fmt: skip
    return payment_id


def pause(conn: Connection[Any], account_id: UUID, why: str) -> None:
    """Buy nothing more until the owner says so, and tell them. The caller holds the account's lock."""
    if conn.execute(
        "update refills set paused = %s where account_id = %s and paused is null", [why[:200], account_id]
    ).rowcount:
        events.add(conn, account_id, "refill.paused", {"reason": why[:200]})
