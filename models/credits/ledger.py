"""Credits: grants, reservations and the ledger (DESIGN section 4)."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

from psycopg import Connection
from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    Computed,
    ForeignKeyConstraint,
    Identity,
    Index,
    Text,
    UniqueConstraint,
    text,
)
from sqlmodel import Field, SQLModel
from uuid_utils.compat import uuid7

from common.errors import InvalidRequest, NotFound
from common.settings import settings
from models.columns import counter, created_at, in_list, moment
from models.events import events
from models.locks import read_locked

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
    """A lot of credits. Used soonest-expiring first. `ref` makes it single: one per account and reference."""

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
        CheckConstraint("(kind in ('reserve', 'settle', 'refund')) = (job_id is not null)", name="job"),
        CheckConstraint("(kind in ('grant', 'expire', 'revoke')) = (grant_id is not null)", name="grant"),
        Index("uq_ledger_entries_job", "job_id", "kind", unique=True, postgresql_where=text("job_id is not null")),
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


class Lot(NamedTuple):
    """Part of a reservation: `amount` credits of one grant."""

    grant_id: UUID
    amount: int


def allocate(grants: Iterable[tuple[UUID, int]], amount: int) -> list[Lot]:
    """Take `amount` from grants, given as (id, remaining) in the order of use. The caller has checked that they suffice."""
    lots: list[Lot] = []
    for grant_id, remaining in grants:
        if amount == 0:
            break
        taken = min(remaining, amount)
        if taken > 0:
            lots.append(Lot(grant_id, taken))
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
        """insert into grants (id, account_id, kind, ref, amount, remaining, expires_at, job_id)
           values (%s, %s, %s, %s, %s, %s, %s, %s) on conflict (account_id, ref) do nothing""",
        [grant_id, account_id, kind, ref, amount, amount, expires_at, job_id],
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


def is_low(before: int, after: int) -> bool:
    """Whether this fall of the available credits is the one to tell of: from the limit or above to below it. Nothing is
    stored: whatever brings the credits back above the limit arms it again.
    """
    return after < settings().low_credits <= before


def tell_if_low(conn: Connection[Any], account_id: UUID, before: int, after: int) -> None:
    """Tell `credits.low` where this fall crosses the limit. The caller holds the account's lock."""
    if is_low(before, after):
        events.add(conn, account_id, "credits.low", {"available": after, "limit": settings().low_credits})


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
) -> None:
    """Write one ledger entry; the caller holds the account's lock and changes the sums to what is said here."""
    source, target = MOVES[kind]
    conn.execute(
        """insert into ledger_entries (account_id, kind, amount, from_bucket, to_bucket, job_id, grant_id,
                                       available_after, reserved_after) values (%s, %s, %s, %s, %s, %s, %s, %s, %s)""",
        [account_id, kind, amount, source, target, job_id, grant_id, available_after, reserved_after],
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
