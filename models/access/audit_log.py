"""The audit log: what operators and admins did. Written in the transaction of the act, never changed."""

from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

import orjson
from psycopg import Connection
from sqlalchemy import BigInteger, Column, Identity, Index, Text, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlmodel import Field, SQLModel

from common.settings import settings
from models.columns import created_at

MAX_REASON = 500


class Act(SQLModel, table=True):
    """One act: who, what, when, from where. The table refuses update, and delete within a year."""

    __tablename__ = "acts"
    __table_args__ = (Index("ix_acts_subject", "subject", text("id desc")),)

    id: int = Field(sa_column=Column(BigInteger, Identity(always=True), primary_key=True))
    at: datetime = created_at()
    actor: str = Field(sa_type=Text, nullable=False)  # a user's id, or "command line: NAME"
    key_id: UUID | None = Field(default=None, nullable=True)
    action: str = Field(sa_type=Text, nullable=False)
    subject: str = Field(sa_type=Text, nullable=False)  # what it was done to
    details: dict[str, Any] = Field(sa_column=Column(JSONB, nullable=False))
    address: str | None = Field(default=None, sa_type=Text, nullable=True)


class By(NamedTuple):
    """Who acts, and from where."""

    actor: str
    key_id: UUID | None = None
    address: str | None = None


class AuditRow(NamedTuple):
    """An act as it is shown."""

    id: int
    at: datetime
    actor: str
    key_id: UUID | None
    action: str
    subject: str
    details: dict[str, Any]
    address: str | None


def record(conn: Connection[Any], by: By, action: str, subject: str, **details: Any) -> None:
    """Write an act down. Secrets never belong into `details`."""
    conn.execute(
        "insert into acts (actor, key_id, action, subject, details, address) values (%s, %s, %s, %s, %s::jsonb, %s)",
        [by.actor, by.key_id, action, subject, orjson.dumps(details, default=str).decode(), by.address],
    )


def why(reason: str | None) -> dict[str, str]:
    """The detail that says why, where somebody gave a reason. What needs none is told by its other details, as a payment."""
    return {} if reason is None else {"reason": reason}


def list_acts(
    conn: Connection[Any], *, before: int | None = None, subject: str | None = None, limit: int = 50
) -> list[AuditRow]:
    """Acts, newest first."""
    rows = conn.execute(
        """select id, at, actor, key_id, action, subject, details, address from acts
            where (%s::bigint is null or id < %s) and (%s::text is null or subject = %s) order by id desc limit %s""",
        [before, before, subject, subject, limit],
    ).fetchall()
    return [AuditRow(*row) for row in rows]


def forget(conn: Connection[Any], limit: int) -> int:
    """Delete acts that are older than ACT_DAYS. Returns how many. The table itself refuses it for those of the last year."""
    return conn.execute(
        """delete from acts where id in (
             select id from (select id, at from acts order by id limit %s) oldest
              where at < app_now() - make_interval(days => %s))""",
        [limit, settings().act_days],
    ).rowcount
