"""What the CDN has yet to hear: files that are gone, whose addresses it may still answer. Written in the transaction that
takes a file away, where CDN_PURGE_URL is set; a duty tells, again and again with growing pauses.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

from psycopg import Connection
from sqlalchemy import Column, SmallInteger, text
from sqlmodel import Field, SQLModel

from common.settings import settings
from models.columns import NOW, UTC_TIME, created_at

FIRST_PAUSE, LONGEST_PAUSE = 5, 600  # seconds between two tries of one file
NOTE = "insert into cdn_purges (file_id) select id from gone where %(cdn)s on conflict do nothing"


class CdnPurge(SQLModel, table=True):
    """A file that is gone. The row goes once the CDN has said that it knows, or can have no copy any more."""

    __tablename__ = "cdn_purges"

    file_id: UUID = Field(primary_key=True)
    created_at: datetime = created_at()
    due_at: datetime = Field(sa_column=Column(UTC_TIME, nullable=False, server_default=NOW, index=True))
    tries: int = Field(default=0, sa_type=SmallInteger, nullable=False, sa_column_kwargs={"server_default": text("0")})


class Untold(NamedTuple):
    """A file that the CDN is to forget, and how often it was told in vain."""

    file_id: UUID
    tries: int


def are_told() -> bool:
    """Whether there is a CDN that wants to be told."""
    return settings().cdn_purge_url is not None


def note(conn: Connection[Any], file_ids: Sequence[UUID]) -> None:
    """Note that these files are gone."""
    if are_told():
        conn.execute(
            "insert into cdn_purges (file_id) select * from unnest(%s::uuid[]) on conflict do nothing", [list(file_ids)]
        )


def due(conn: Connection[Any], limit: int) -> list[Untold]:
    """What is to be told now, what waits longest first."""
    rows = conn.execute(
        "select file_id, tries from cdn_purges where due_at <= app_now() order by due_at, file_id limit %s", [limit]
    ).fetchall()
    return [Untold(*row) for row in rows]


def confirm(conn: Connection[Any], file_ids: Sequence[UUID]) -> int:
    """The CDN knows of these. Returns how many they were."""
    return conn.execute("delete from cdn_purges where file_id = any(%s)", [list(file_ids)]).rowcount


def put_off(conn: Connection[Any], file_ids: Sequence[UUID]) -> int:
    """The CDN could not be told of these: later again. Returns how many it can have no copy of any more, and are let go."""
    conn.execute(
        """update cdn_purges set tries = least(tries + 1, 32767),
                  due_at = app_now() + make_interval(secs => least(%s::float8, %s * 2.0 ^ least(tries, 10)))
            where file_id = any(%s)""",
        [LONGEST_PAUSE, FIRST_PAUSE, list(file_ids)],
    )
    return conn.execute(
        "delete from cdn_purges where file_id = any(%s) and created_at <= app_now() - make_interval(secs => %s)",
        [list(file_ids), settings().cdn_cache_seconds],
    ).rowcount
