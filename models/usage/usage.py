"""Usage: what an account did, had made and kept, counted by quarters of an hour, in the transactions in which it happens.

Triggers note ended jobs and storage that changes (`models/usage/entries.py`) and count holds that are spent, so that nothing is
forgotten whoever does it. A quarter of an hour begins at the same moment in every time zone there is, so days of any zone are sums of them.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Any
from uuid import UUID

from psycopg import Connection
from sqlalchemy import CheckConstraint, Column, PrimaryKeyConstraint, Text, Uuid, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlmodel import Field, SQLModel

from models.columns import UTC_TIME, counter, in_list

SOURCES = ("job", "hold", "storage", "requests")
NO_LABELS = "d41d8cd9-8f00-b204-e980-0998ecf8427e"  # md5 of nothing
QUARTER = "date_bin('15 min', app_now(), 'epoch')"


class UsageQuarter(SQLModel, table=True):
    """What one account used of one model, with the same labels, in a quarter of an hour from `at` on. Partitioned by month.

    Each source has rows of its own: those of holds change under the account's lock, those of the others under none.
    """

    __tablename__ = "usage"
    __table_args__ = (
        PrimaryKeyConstraint("account_id", "at", "source", "model_id", "labels_key"),
        CheckConstraint(in_list("source", *SOURCES), name="source"),
        {"postgresql_partition_by": "RANGE (at)"},
    )

    account_id: UUID = Field(sa_type=Uuid, nullable=False)
    at: datetime = Field(sa_column=Column(UTC_TIME, nullable=False))
    source: str = Field(sa_type=Text, nullable=False)
    model_id: str = Field(default="", sa_type=Text, nullable=False, sa_column_kwargs={"server_default": ""})  # '': none
    labels_key: UUID = Field(
        sa_column=Column(Uuid, nullable=False, server_default=text(f"'{NO_LABELS}'"))
    )  # md5 of the labels' text
    labels: dict[str, str] | None = Field(default=None, sa_column=Column(JSONB(none_as_null=True), nullable=True))
    succeeded: int = counter()
    failed: int = counter()
    canceled: int = counter()
    credits: int = counter()  # spent
    results: int = counter()
    cost_usd_micros: int = counter()  # of all attempts; at most a million dollars a job
    tokens_in: int = counter()
    tokens_out: int = counter()
    requests: int = counter()
    bytes_added: int = counter()
    bytes_removed: int = counter()


def record_requests(conn: Connection[Any], requests: Mapping[UUID, int]) -> None:
    """Count so many API requests for each account, in the order of their ids: several processes do so at once."""
    wanted = sorted(requests.items())
    conn.execute(
        f"""insert into usage (account_id, at, source, requests)
            select account_id, {QUARTER}, 'requests', n from unnest(%s::uuid[], %s::bigint[]) with ordinality as x(account_id, n, place)
             order by place
                on conflict (account_id, at, source, model_id, labels_key) do update set requests = usage.requests + excluded.requests""",
        [[account_id for account_id, _ in wanted], [count for _, count in wanted]],
    )
