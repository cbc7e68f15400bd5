"""Holds as they are kept and read; what is done with them stands in `models.credits.holds`."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Literal, NamedTuple
from uuid import UUID

from psycopg import Connection
from psycopg.types.json import Jsonb
from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    ForeignKeyConstraint,
    Index,
    Text,
    UniqueConstraint,
    Uuid,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlmodel import Field, SQLModel

from common.errors import NotFound
from models.columns import UTC_TIME, counter, created_at, in_list, moment

HoldEnd = Literal["settled", "released", "expired"]
HOLD_ENDS = ("settled", "released", "expired")
MAX_HOLD_SECONDS = 31 * 86_400  # from now, at creation and at each extension
MAX_OPEN_HOLDS = 10_000  # of one account


class CreditHold(SQLModel, table=True):
    """Credits set aside. What is still held is `amount - settled - released`. `reference` is the client's own name for it, once
    per account; `model` and `kind` say which grants may pay for it. `ended` is null while anything is held.
    """

    __tablename__ = "holds"
    __table_args__ = (
        UniqueConstraint("account_id", "reference"),
        CheckConstraint("amount > 0 and settled >= 0 and released >= 0 and settled + released <= amount", name="amount"),
        CheckConstraint("(ended is null) = (ended_at is null)", name="ended_at"),
        CheckConstraint("(ended is null) = (settled + released < amount)", name="ended_whole"),
        CheckConstraint(in_list("ended", *HOLD_ENDS), name="ended"),
        Index(None, "account_id", text("id desc")),
        Index("ix_holds_expires_at", "expires_at", postgresql_where=text("ended is null")),
        Index("ix_holds_open", "account_id", postgresql_where=text("ended is null")),
        Index("ix_holds_labelled", "account_id", "created_at", postgresql_where=text("labels is not null")),
        Index("ix_holds_labels", "labels", postgresql_using="gin", postgresql_ops={"labels": "jsonb_path_ops"}, postgresql_where=text("labels is not null")),
    )  # fmt: skip

    id: UUID = Field(primary_key=True)
    account_id: UUID = Field(foreign_key="accounts.id", nullable=False)
    api_key_id: UUID | None = Field(default=None, sa_type=Uuid, nullable=True)
    reference: str | None = Field(default=None, sa_type=Text, nullable=True)
    model: str | None = Field(default=None, sa_type=Text, nullable=True)
    kind: str | None = Field(default=None, sa_type=Text, nullable=True)
    labels: dict[str, str] | None = Field(default=None, sa_column=Column(JSONB(none_as_null=True), nullable=True))
    amount: int = Field(sa_type=BigInteger, nullable=False)
    settled: int = counter()
    released: int = counter()
    ended: str | None = Field(default=None, sa_type=Text, nullable=True)
    expires_at: datetime = Field(sa_column=Column(UTC_TIME, nullable=False))
    created_at: datetime = created_at()
    ended_at: datetime | None = moment()


class HoldGrant(SQLModel, table=True):
    """What a hold took from one grant. What is still held of it is `amount - settled - released`."""

    __tablename__ = "hold_grants"
    __table_args__ = (
        ForeignKeyConstraint(["hold_id"], ["holds.id"]),
        CheckConstraint(
            "amount > 0 and settled >= 0 and released >= 0 and settled + released <= amount", name="amount"
        ),
        Index(None, "grant_id"),
    )

    hold_id: UUID = Field(primary_key=True)
    grant_id: UUID = Field(primary_key=True, foreign_key="grants.id")
    amount: int = Field(sa_type=BigInteger, nullable=False)
    settled: int = counter()
    released: int = counter()


class NewHold(NamedTuple):
    """What a client asks for."""

    amount: int
    seconds: int  # until it is released by itself
    reference: str | None = None
    model: str | None = None
    kind: str | None = None
    labels: Mapping[str, str] | None = None


class HoldRow(NamedTuple):
    """A hold as its account sees it."""

    id: UUID
    account_id: UUID
    reference: str | None
    model: str | None
    kind: str | None
    labels: dict[str, str] | None
    amount: int
    settled: int
    released: int
    ended: HoldEnd | None
    expires_at: datetime
    created_at: datetime
    ended_at: datetime | None

    @property
    def held(self) -> int:
        """What is still set aside."""
        return self.amount - self.settled - self.released


SHOWN = ", ".join(HoldRow._fields)


def due(conn: Connection[Any], limit: int, *, without: Sequence[UUID] = ()) -> list[tuple[UUID, UUID]]:
    """Holds whose time has passed, as (id, account), but those of some. Picked without a lock."""
    rows: list[tuple[UUID, UUID]] = conn.execute(
        """select id, account_id from holds where ended is null and expires_at <= app_now() and not (account_id = any(%s))
            order by expires_at limit %s""",
        [list(without), limit],
    ).fetchall()
    return rows


def find(conn: Connection[Any], hold_id: UUID, *, account_id: UUID) -> HoldRow:
    """One hold of this account. Raises NotFound."""
    row = conn.execute(f"select {SHOWN} from holds where id = %s and account_id = %s", [hold_id, account_id]).fetchone()
    if row is None:
        raise NotFound(f"no hold {hold_id}", param="id")
    return HoldRow(*row)


def list_holds(
    conn: Connection[Any],
    account_id: UUID,
    *,
    before: UUID | None = None,
    is_open: bool | None = None,
    reference: str | None = None,
    label: Mapping[str, str] | None = None,
    limit: int = 50,
) -> list[HoldRow]:
    """An account's holds, newest first, from the one before `before`."""
    where, values = ["account_id = %s"], list[Any]([account_id])
    for condition, value in (
        ("id < %s", before), ("(ended is null) = %s", is_open), ("reference = %s", reference),
        ("labels @> %s", Jsonb(dict(label)) if label else None),
    ):  # fmt: skip
        if value is not None:
            where.append(condition)
            values.append(value)
    rows = conn.execute(
        f"select {SHOWN} from holds where {' and '.join(where)} order by id desc limit %s", [*values, limit]
    ).fetchall()
    return [HoldRow(*row) for row in rows]
