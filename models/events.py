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

from models import deliveries, notifications
from models.base import NOW, UTC_TIME

PARTITIONED = ("events", "deliveries")


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
    row = conn.execute(
        """with a as (update accounts set event_number = event_number + 1 where id = %s returning event_number, has_webhooks),
           e as (insert into events (account_id, number, type, job_id, data)
                 select %s, event_number, %s, %s, %s::jsonb from a)
           select event_number, has_webhooks from a""",
        [account_id, account_id, kind, job_id, orjson.dumps(data).decode()],
    ).fetchone()
    if row is None:
        return
    number, has_webhooks = row
    if has_webhooks or job_id is not None:  # the job may have brought an address of its own
        deliveries.deliver_range(conn, {account_id: (number - 1, number)})
    notifications.follow(conn, account_id, number, kind, data)


def make_partitions(conn: Connection[Any], ahead: int = 3) -> int:
    """Make the partitions of this month and of `ahead` more, of events and of deliveries. Returns how many are new."""
    return sum(_make_partition(conn, table, month) for table in PARTITIONED for month in range(ahead + 1))


def _make_partition(conn: Connection[Any], table: str, month: int) -> bool:
    name, start, end = conn.execute(
        """select %s || to_char(m, '_YYYY_MM'), m::text, (m + interval '1 month')::text
             from (select date_trunc('month', app_now() at time zone 'UTC') + make_interval(months => %s) as m) x""",
        [table, month],
    ).fetchone() or ("", "", "")
    if conn.execute("select to_regclass(%s)", [name]).fetchone() != (None,):
        return False
    conn.execute(
        f"create table if not exists {name} partition of {table} for values from ('{start}+00') to ('{end}+00')"
    )
    return True


def partitions_ahead(conn: Connection[Any]) -> int:
    """How many months after this one have their partition, of the table that has the fewest; `doctor` fails when only one
    is left.
    """
    counts = []
    for table in PARTITIONED:
        row = conn.execute(
            """select count(*) from pg_inherits i join pg_class c on c.oid = i.inhrelid
                where i.inhparent = %s::regclass
                  and c.relname > %s || to_char(app_now() at time zone 'UTC', '_YYYY_MM')""",
            [table, table],
        ).fetchone()
        counts.append(int(row[0]) if row else 0)
    return min(counts)
