"""What happened, in each account's own gapless numbers."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any
from uuid import UUID

import orjson
from psycopg import Connection
from sqlalchemy import BigInteger, CheckConstraint, Column, PrimaryKeyConstraint, Text, Uuid
from sqlalchemy.dialects.postgresql import JSONB
from sqlmodel import Field, SQLModel

from models.base import NOW, UTC_TIME


class Event(SQLModel, table=True):
    """One event. Partitioned by month: nothing refers to it, and old months go at once. Gaplessness rests on
    `accounts.event_number`, taken under the account's lock, and on the audit.
    """

    __tablename__ = "events"
    __table_args__ = (
        PrimaryKeyConstraint("account_id", "number", "created_at"),
        CheckConstraint("number > 0", name="number"),
        {"postgresql_partition_by": "RANGE (created_at)"},
    )

    account_id: UUID = Field(sa_type=Uuid, nullable=False)
    number: int = Field(sa_type=BigInteger, nullable=False)
    type: str = Field(sa_type=Text, nullable=False)
    job_id: UUID | None = Field(default=None, sa_type=Uuid, nullable=True)
    data: dict[str, Any] = Field(sa_column=Column(JSONB, nullable=False))
    created_at: datetime = Field(sa_column=Column(UTC_TIME, nullable=False, server_default=NOW))


def add(
    conn: Connection[Any], account_id: UUID, kind: str, data: Mapping[str, Any], *, job_id: UUID | None = None
) -> None:
    """Tell one event of an account whose lock the caller holds."""
    conn.execute(
        """with a as (update accounts set event_number = event_number + 1 where id = %s returning event_number)
           insert into events (account_id, number, type, job_id, data) select %s, event_number, %s, %s, %s::jsonb from a""",
        [account_id, account_id, kind, job_id, orjson.dumps(data).decode()],
    )


def make_partitions(conn: Connection[Any], ahead: int = 3) -> int:
    """Make the partitions of this month and of `ahead` more. Returns how many are new."""
    made = 0
    for month in range(ahead + 1):
        name, start, end = conn.execute(
            """select 'events_' || to_char(m, 'YYYY_MM'), m::text, (m + interval '1 month')::text
                 from (select date_trunc('month', app_now() at time zone 'UTC') + make_interval(months => %s) as m) x""",
            [month],
        ).fetchone() or ("", "", "")
        if conn.execute("select to_regclass(%s)", [name]).fetchone() == (None,):
            conn.execute(
                f"create table if not exists {name} partition of events for values from ('{start}+00') to ('{end}+00')"
            )
            made += 1
    return made


def partitions_ahead(conn: Connection[Any]) -> int:
    """How many months after this one have their partition; `doctor` fails when only one is left."""
    row = conn.execute(
        """select count(*) from pg_inherits i join pg_class c on c.oid = i.inhrelid
            where i.inhparent = 'events'::regclass
              and c.relname > 'events_' || to_char(app_now() at time zone 'UTC', 'YYYY_MM')"""
    ).fetchone()
    return int(row[0]) if row else 0
