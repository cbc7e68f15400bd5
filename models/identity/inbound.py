"""What services tell us by webhook: stored once by (source, event id), in the transaction that acts on it."""

from datetime import datetime
from typing import Any

from psycopg import Connection
from psycopg.types.json import Jsonb
from sqlalchemy import BigInteger, Column, Identity, Index, Text, UniqueConstraint, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlmodel import Field, SQLModel

from common.settings import settings
from models.columns import NOW, UTC_TIME, moment


class InboundEvent(SQLModel, table=True):
    """One event, as it came. `processed_at` is null where nobody here knew what to do with it.

    `subject` is whom it is about, so that what it holds of a person can be erased.
    """

    __tablename__ = "inbound_events"
    __table_args__ = (
        UniqueConstraint("source", "event_id"),
        Index("ix_inbound_events_subject", "source", "subject", postgresql_where=text("subject is not null")),
    )

    id: int = Field(sa_column=Column(BigInteger, Identity(always=True), primary_key=True))
    source: str = Field(sa_type=Text, nullable=False)
    event_id: str = Field(sa_type=Text, nullable=False)
    type: str = Field(sa_type=Text, nullable=False)
    subject: str | None = Field(default=None, sa_type=Text, nullable=True)
    payload: dict[str, Any] = Field(sa_column=Column(JSONB, nullable=False))
    received_at: datetime = Field(sa_column=Column(UTC_TIME, nullable=False, server_default=NOW))
    processed_at: datetime | None = moment()


def store(
    conn: Connection[Any], source: str, event_id: str, kind: str, payload: dict[str, Any], *, subject: str | None = None
) -> int | None:
    """Keep an event. None: it was kept before. Two at once: the second waits here for the first."""
    row = conn.execute(
        """insert into inbound_events (source, event_id, type, subject, payload) values (%s, %s, %s, %s, %s)
           on conflict (source, event_id) do nothing returning id""",
        [source, event_id, kind, subject, Jsonb(payload)],
    ).fetchone()
    return row[0] if row else None


def mark_processed(conn: Connection[Any], number: int, *, subject: str | None = None) -> None:
    """Note that an event has done what it does, and whom it is about, where only that has told."""
    conn.execute(
        "update inbound_events set processed_at = app_now(), subject = coalesce(%s, subject) where id = %s",
        [subject, number],
    )


def forget(conn: Connection[Any], limit: int) -> int:
    """Delete events that are older than they are kept. Returns how many. No service sends one again after so long."""
    return conn.execute(
        """delete from inbound_events where id in (
             select id from (select id, received_at from inbound_events order by id limit %s) oldest
              where received_at < app_now() - make_interval(days => %s))""",
        [limit, settings().inbound_days],
    ).rowcount


def erase(conn: Connection[Any], source: str, subject: str) -> None:
    """Empty the events about a person who is gone; that they came stays known."""
    conn.execute(
        "update inbound_events set payload = '{}' where source = %s and subject = %s and payload <> '{}'",
        [source, subject],
    )
