"""Credits: grants, reservations and the ledger (DESIGN section 4)."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any, NamedTuple
from uuid import UUID

from psycopg import Connection
from sqlalchemy import (
    ARRAY,
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    Computed,
    ForeignKeyConstraint,
    Identity,
    Index,
    Numeric,
    SmallInteger,
    Text,
    UniqueConstraint,
    text,
)
from sqlmodel import Field, SQLModel
from uuid_utils.compat import uuid7

from common.errors import InvalidRequest, NotEnoughCredits, NotFound
from common.settings import settings
from models.columns import counter, created_at, in_list, moment
from models.events import events
from models.locks import read_locked

MAX_PRIORITY = 100
MAX_GRANT = 10**15  # credits: however many grants an account gets, their sum fits its column
GRANT_KINDS = ("signup", "plan", "purchase", "gift", "goodwill")
# Which bucket a movement takes from and gives to, by its kind.
MOVES = {
    "grant": ("issued", "available"),
    "reserve": ("available", "reserved"),
    "settle": ("reserved", "spent"),
    "refund": ("reserved", "available"),
    "expire": ("available", "expired"),
    "revoke": ("available", "revoked"),
}


class Grant(SQLModel, table=True):
    """A lot of credits. Those of a higher `priority` are used first, and of these the soonest-expiring. `ref` makes it single:
    one per account and reference. `models` and `kinds`: what alone it pays for, where either is given. `paid_per_credit`
    is in major units of `paid_currency`; null: nothing was paid for it, or nobody said what.
    """

    __tablename__ = "grants"
    __table_args__ = (
        UniqueConstraint("account_id", "ref"),
        UniqueConstraint("id", "account_id"),
        CheckConstraint(
            "amount > 0 and remaining between 0 and amount and (revoked_at is null or remaining = 0)", name="amount"
        ),
        CheckConstraint(
            "taken_back between 0 and amount and taken_owed >= 0 and taken_gone >= 0 and taken_owed + taken_gone <= taken_back "
            "and taken_by_hand between 0 and taken_back",
            name="taken_back",
        ),
        CheckConstraint(in_list("kind", *GRANT_KINDS), name="kind"),
        CheckConstraint(f"priority between 0 and {MAX_PRIORITY}", name="priority"),
        CheckConstraint("cardinality(models) > 0 and cardinality(kinds) > 0", name="scope"),
        CheckConstraint("(paid_per_credit is null) = (paid_currency is null) and paid_per_credit >= 0", name="paid"),
        Index("ix_grants_open", "account_id", "expires_at", "id", postgresql_where=text("open")),
        Index("ix_grants_expires_at", "expires_at", postgresql_where=text("open and expires_at is not null")),
        {"postgresql_with": {"fillfactor": "70"}},
    )

    id: UUID = Field(primary_key=True)
    account_id: UUID = Field(foreign_key="accounts.id", nullable=False)
    kind: str = Field(sa_type=Text, nullable=False)
    ref: str = Field(sa_type=Text, nullable=False)
    amount: int = Field(sa_type=BigInteger, nullable=False)
    remaining: int = Field(sa_type=BigInteger, nullable=False)
    # A column of its own: an index whose predicate named `remaining` would be rewritten at every submit.
    open: bool = Field(
        default=None, sa_column=Column("open", Boolean, Computed("remaining > 0", persisted=True), nullable=False)
    )
    expires_at: datetime | None = moment()
    # When it was to expire, before credits that came back later were given a grace period: there is one in all.
    first_expires_at: datetime | None = moment()
    revoked_at: datetime | None = moment()
    # Of what was taken back in part (`take_back`): all of it; what became debt; and what had expired, or was revoked, before.
    taken_back: int = counter()
    taken_owed: int = counter()
    taken_gone: int = counter()
    taken_by_hand: int = counter()  # of all of it, what an operator took: its payment is not given back by that
    job_id: UUID | None = Field(default=None, foreign_key="jobs.id", nullable=True)  # a goodwill refund names its job
    created_at: datetime = created_at()
    priority: int = Field(default=0, sa_type=SmallInteger, nullable=False, sa_column_kwargs={"server_default": "0"})
    models: list[str] | None = Field(default=None, sa_column=Column(ARRAY(Text), nullable=True))
    kinds: list[str] | None = Field(default=None, sa_column=Column(ARRAY(Text), nullable=True))
    paid_per_credit: Decimal | None = Field(default=None, sa_column=Column(Numeric(24, 10), nullable=True))
    paid_currency: str | None = Field(default=None, sa_type=Text, nullable=True)


class Reservation(SQLModel, table=True):
    """Credits held for one job, resolved exactly once: `settled` was spent and `refunded` went back."""

    __tablename__ = "reservations"
    __table_args__ = (
        UniqueConstraint("job_id", "resolution"),
        ForeignKeyConstraint(["job_id"], ["jobs.id"], name="fk_reservations_job_id"),
        ForeignKeyConstraint(
            ["job_id", "resolution"], ["jobs.id", "jobs.resolution"],
            name="fk_reservations_resolution", deferrable=True, initially="DEFERRED",
        ),
        CheckConstraint("amount >= 0", name="amount"),
        CheckConstraint(in_list("resolution", "settle", "refund"), name="resolution"),
        CheckConstraint(
            "case when resolution is null then settled is null and refunded is null and resolved_at is null "
            "else settled >= 0 and refunded >= 0 and settled + refunded = amount and resolved_at is not null end",
            name="resolved",
        ),
        CheckConstraint("resolution = 'settle' or coalesce(settled, 0) = 0", name="refund_spends_nothing"),
    )  # fmt: skip

    job_id: UUID = Field(primary_key=True)
    account_id: UUID = Field(foreign_key="accounts.id", nullable=False)
    amount: int = Field(sa_type=BigInteger, nullable=False)
    resolution: str | None = Field(default=None, sa_type=Text, nullable=True)
    settled: int | None = Field(default=None, sa_type=BigInteger, nullable=True)
    refunded: int | None = Field(default=None, sa_type=BigInteger, nullable=True)
    created_at: datetime = created_at()
    resolved_at: datetime | None = moment()


class ReservationGrant(SQLModel, table=True):
    """What a reservation took from one grant, so that a refund returns it there. `settled` is null while it is held, and
    a number, be it 0, once the reservation is resolved: a trigger refuses a resolution that leaves one out.
    """

    __tablename__ = "reservation_grants"
    __table_args__ = (
        ForeignKeyConstraint(["job_id"], ["reservations.job_id"]),
        CheckConstraint("amount > 0 and settled between 0 and amount", name="amount"),
    )

    job_id: UUID = Field(primary_key=True)
    grant_id: UUID = Field(primary_key=True, foreign_key="grants.id")
    amount: int = Field(sa_type=BigInteger, nullable=False)
    settled: int | None = Field(default=None, sa_type=BigInteger, nullable=True)


class LedgerEntry(SQLModel, table=True):
    """One movement of credits between two buckets. Never updated, never deleted: a trigger says so."""

    __tablename__ = "ledger_entries"
    __table_args__ = (
        CheckConstraint("amount > 0 and available_after >= 0 and reserved_after >= 0", name="amount"),
        CheckConstraint(
            "(kind, from_bucket, to_bucket) in ("
            + ", ".join(f"('{kind}', '{source}', '{target}')" for kind, (source, target) in MOVES.items())
            + ")",
            name="move",
        ),
        CheckConstraint(
            "(kind in ('reserve', 'settle', 'refund')) = (num_nonnulls(job_id, hold_id) = 1) and num_nonnulls(job_id, hold_id) <= 1",
            name="job",
        ),
        CheckConstraint("(kind in ('grant', 'expire', 'revoke')) = (grant_id is not null)", name="grant"),
        Index("uq_ledger_entries_job", "job_id", "kind", unique=True, postgresql_where=text("job_id is not null")),
        Index("ix_ledger_entries_hold", "hold_id", postgresql_where=text("hold_id is not null")),
        Index("uq_ledger_entries_grant", "grant_id", unique=True, postgresql_where=text("kind = 'grant'")),
        Index(None, "account_id", text("id desc")),
        # For reports: entries are written in the order of time, so an index of ranges finds a span and costs a write nothing.
        Index("ix_ledger_entries_created_at", "created_at", postgresql_using="brin"),
    )

    id: int = Field(default=None, sa_column=Column(BigInteger, Identity(always=True), primary_key=True))
    account_id: UUID = Field(foreign_key="accounts.id", nullable=False)
    kind: str = Field(sa_type=Text, nullable=False)
    amount: int = Field(sa_type=BigInteger, nullable=False)
    from_bucket: str = Field(sa_type=Text, nullable=False)
    to_bucket: str = Field(sa_type=Text, nullable=False)
    job_id: UUID | None = Field(default=None, foreign_key="jobs.id", nullable=True)
    grant_id: UUID | None = Field(default=None, foreign_key="grants.id", nullable=True)
    available_after: int = Field(sa_type=BigInteger, nullable=False)
    reserved_after: int = Field(sa_type=BigInteger, nullable=False)
    created_at: datetime = created_at()
    hold_id: UUID | None = Field(default=None, foreign_key="holds.id", nullable=True)


class GrantTerms(NamedTuple):
    """When a grant is used, for what, and what was paid for a credit of it. `models` and `kinds` empty: for all."""

    priority: int = 0
    models: tuple[str, ...] = ()
    kinds: tuple[str, ...] = ()
    paid_per_credit: Decimal | None = None  # in major units of `paid_currency`
    paid_currency: str | None = None


class Fund(NamedTuple):
    """A grant with credits left, as whoever takes some of them sees it. Read in the order of use."""

    grant_id: UUID
    remaining: int
    models: list[str] | None = None
    kinds: list[str] | None = None

    def pays_for(self, model: str | None, kind: str | None) -> bool:
        """Whether it may be used for this model of this kind; None: for what is no model's."""
        return (
            (self.models is None and self.kinds is None) or model in (self.models or ()) or kind in (self.kinds or ())
        )


# Whoever reads it may be a product's customer, its developer or the operator: each of it is true for all of them.
HOW_TO_GET_MORE = (
    "buy a pack (GET /v1/packs lists those that are sold), or ask whoever runs this deployment for a grant"
)
ANY_USE = GrantTerms()
ORDER_OF_USE = "priority desc, expires_at, id"


def usable(funds: Iterable[Fund], model: str | None, kind: str | None) -> int:
    """How many of these credits may be used for it."""
    return sum(each.remaining for each in funds if each.pays_for(model, kind))


def not_enough(needed: int, available: int, for_others: int) -> NotEnoughCredits:
    """The refusal with its figures, and how to get more; `for_others`: credits that there are, and that are not for this."""
    others = f"; {for_others} more are for other models" if for_others else ""
    figures: dict[str, Any] = {"needed": needed, "available": available}
    figures |= {"for_other_models": for_others} if for_others else {}
    said = f"this needs {needed} credits; {available} are available{others}; {HOW_TO_GET_MORE}"
    return NotEnoughCredits(said, **figures)


class Lot(NamedTuple):
    """Part of a reservation: `amount` credits of one grant."""

    grant_id: UUID
    amount: int


def allocate(funds: Iterable[Fund], amount: int, model: str | None = None, kind: str | None = None) -> list[Lot]:
    """Take `amount` from what may be used for it, in the order given. The caller has checked that it suffices."""
    lots: list[Lot] = []
    for fund in funds:
        if amount == 0:
            break
        taken = min(fund.remaining, amount) if fund.pays_for(model, kind) else 0
        if taken > 0:
            lots.append(Lot(fund.grant_id, taken))
            amount -= taken
    if amount:
        raise AssertionError(f"{amount} credits more reserved than the grants hold")
    return lots


def grant(
    conn: Connection[Any],
    account_id: UUID,
    *,
    kind: str,
    amount: int,
    ref: str,
    expires_at: datetime | None = None,
    job_id: UUID | None = None,
    terms: GrantTerms = ANY_USE,
) -> UUID | None:
    """Give an account credits, once per `ref`. Returns the grant's id, or None where that ref was granted before.

    The account's debt, if any, is paid from it first. Raises InvalidRequest for an amount below 1 or above MAX_GRANT.
    """
    if not 1 <= amount <= MAX_GRANT:
        raise InvalidRequest(f"a grant has 1 to {MAX_GRANT} credits, not {amount}", param="amount")
    account = read_locked(conn, account_id, "a.available, a.reserved, a.debt")
    if account is None:
        raise NotFound(f"no account {account_id}")
    available, reserved, debt = account
    grant_id = uuid7()
    made = conn.execute(
        """insert into grants (id, account_id, kind, ref, amount, remaining, expires_at, job_id, priority, models, kinds,
                               paid_per_credit, paid_currency)
           values (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s) on conflict (account_id, ref) do nothing""",
        [
            grant_id,
            account_id,
            kind,
            ref,
            amount,
            amount,
            expires_at,
            job_id,
            terms.priority,
            list(terms.models) or None,
            list(terms.kinds) or None,
            terms.paid_per_credit,
            terms.paid_currency,
        ],
    )
    if made.rowcount == 0:
        return None
    available += amount
    enter(conn, account_id, "grant", amount, available, reserved, grant_id=grant_id)
    if debt:
        paid = min(debt, amount)
        conn.execute("update grants set remaining = remaining - %s where id = %s", [paid, grant_id])
        available -= paid
        enter(conn, account_id, "revoke", paid, available, reserved, grant_id=grant_id)
        debt -= paid
    conn.execute("update accounts set available = %s, debt = %s where id = %s", [available, debt, account_id])
    events.add(conn, account_id, "credits.granted", {"amount": amount, "kind": kind, "available": available})
    return grant_id


def limits_crossed(before: int, after: int, alerts: Sequence[int] | None) -> list[int]:
    """The limits that this fall of the available credits is to be told of, highest first: from a limit or above to below it.
    `alerts` are the account's own; None: that of the settings. Nothing is stored: whatever brings the credits back above a
    limit arms it again.
    """
    limits = (settings().low_credits,) if alerts is None else alerts
    return sorted((limit for limit in limits if after < limit <= before), reverse=True)


def tell_if_low(conn: Connection[Any], account_id: UUID, before: int, after: int) -> None:
    """Tell `credits.low` for each limit that this fall crosses. The caller holds the account's lock."""
    if after >= before:
        return
    row = conn.execute("select credit_alerts from accounts where id = %s", [account_id]).fetchone()
    for limit in limits_crossed(before, after, row[0] if row else None):
        events.add(conn, account_id, "credits.low", {"available": after, "limit": limit})


def enter(
    conn: Connection[Any],
    account_id: UUID,
    kind: str,
    amount: int,
    available_after: int,
    reserved_after: int,
    *,
    job_id: UUID | None = None,
    grant_id: UUID | None = None,
    hold_id: UUID | None = None,
) -> None:
    """Write one ledger entry; the caller holds the account's lock and changes the sums to what is said here."""
    source, target = MOVES[kind]
    conn.execute(
        """insert into ledger_entries (account_id, kind, amount, from_bucket, to_bucket, job_id, grant_id, hold_id,
                                       available_after, reserved_after) values (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s)""",
        [account_id, kind, amount, source, target, job_id, grant_id, hold_id, available_after, reserved_after],
    )


def expire_lapsed(conn: Connection[Any], account_ids: Sequence[UUID]) -> int:
    """Expire what has lapsed of these accounts' grants; the caller holds the accounts' locks. Returns how many grants.

    One event per account. Run twice, the second finds nothing: an expired grant has no remaining credits.
    """
    rows = conn.execute(
        """with lapsed as materialized (
             select id, account_id, remaining from grants
              where account_id = any(%s) and open and expires_at <= app_now() order by account_id, expires_at, id
           ), emptied as (
             update grants g set remaining = 0 from lapsed l where g.id = l.id
           ), entered as (
             insert into ledger_entries (account_id, kind, amount, from_bucket, to_bucket, grant_id,
                                         available_after, reserved_after)
             select l.account_id, 'expire', l.remaining, 'available', 'expired', l.id,
                    a.available - sum(l.remaining) over (partition by l.account_id order by l.id
                                                         rows unbounded preceding), a.reserved
               from lapsed l join accounts a on a.id = l.account_id order by l.account_id, l.id
           ), sums as (
             select account_id, sum(remaining)::bigint as amount, count(*) as grants from lapsed group by account_id
           )
           update accounts a set available = available - s.amount from sums s where a.id = s.account_id
           returning a.id, s.amount, s.grants, a.available""",
        [list(account_ids)],
    ).fetchall()
    for account_id, amount, _, available in rows:
        events.add(conn, account_id, "credits.expired", {"amount": amount, "available": available})
        tell_if_low(conn, account_id, available + amount, available)
    return sum(row[2] for row in rows)


def accounts_with_lapsed(conn: Connection[Any], limit: int, *, without: Sequence[UUID] = ()) -> list[UUID]:
    """Accounts with a grant that has lapsed, but those. Picked without a lock."""
    rows = conn.execute(
        """select distinct account_id from (
             select account_id from grants where open and expires_at <= app_now() and not (account_id = any(%s))
              order by expires_at limit %s) x""",
        [list(without), limit],
    ).fetchall()
    return sorted(row[0] for row in rows)
