"""The archive: files of what the database has lost on purpose. Which there are, and rows that wait for theirs.

Rows of jobs that are forgotten are set aside in the transaction that forgets them, for the file that is open. Once that is closed no row
comes into it any more, so that whoever writes it, however often, writes the same rows under the same key; when it is in the bucket the rows go.
"""

from collections.abc import Sequence
from datetime import date, datetime
from typing import Any, NamedTuple
from uuid import UUID

from psycopg import Connection
from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    Date,
    Identity,
    Index,
    PrimaryKeyConstraint,
    Text,
    UniqueConstraint,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlmodel import Field, SQLModel
from uuid_utils.compat import uuid7

from common.settings import settings
from models.columns import counter, created_at, in_list, moment
from models.operations.archive_shapes import FORGOTTEN, SHAPES, ArchiveKind

FILE_ROWS = 100_000  # a file that has so many is closed; others are at the end of their day
MAX_WAITING = 8  # files that are closed and not in the bucket: nothing more is forgotten until one is


class ArchivedFile(SQLModel, table=True):
    """A file of the archive: open while rows are set aside for it, then closed, then in the bucket. A month's has its first day."""

    __tablename__ = "archived_files"
    __table_args__ = (
        CheckConstraint(in_list("kind", *SHAPES), name="kind"),
        CheckConstraint("(archived_at is null) = (bytes is null)", name="archived_at"),
        CheckConstraint("archived_at is null or closed_at is not null", name="closed_at"),
        UniqueConstraint("kind", "month"),
        Index("ix_archived_files_open", "kind", unique=True, postgresql_where=text("closed_at is null")),
        Index("ix_archived_files_waiting", "closed_at", postgresql_where=text("closed_at is not null and archived_at is null")),
    )  # fmt: skip

    id: UUID = Field(primary_key=True)
    kind: str = Field(sa_type=Text, nullable=False)
    month: date | None = Field(default=None, sa_type=Date, nullable=True)
    key: str = Field(sa_type=Text, nullable=False)
    rows: int = counter()
    bytes: int | None = Field(default=None, sa_type=BigInteger, nullable=True)
    opened_at: datetime = created_at()
    closed_at: datetime | None = moment()
    archived_at: datetime | None = moment()


class ForgottenRow(SQLModel, table=True):
    """What the archive keeps of a row that was deleted, until its file is in the bucket. An order of its own, not the time's."""

    __tablename__ = "forgotten_rows"
    __table_args__ = (PrimaryKeyConstraint("file_id", "number"),)

    file_id: UUID = Field(foreign_key="archived_files.id", nullable=False)
    number: int = Field(sa_column=Column(BigInteger, Identity(always=True), nullable=False))
    data: dict[str, Any] = Field(sa_column=Column(JSONB, nullable=False))


class WaitingFile(NamedTuple):
    """A file that is closed and not yet in the bucket, with the number of its rows."""

    id: UUID
    kind: ArchiveKind
    key: str
    rows: int


class ArchivedMonth(NamedTuple):
    """What is in the archive of one kind of row and one month: that of the rows, or in which their jobs were forgotten."""

    kind: str
    month: str  # 2026-11
    files: int
    rows: int
    bytes: int


# Where the rows of jobs that are forgotten are found; `jobs` still says whose they are.
_SOURCES: dict[ArchiveKind, str] = {
    "jobs": "jobs x where x.id = any(%(jobs)s)",
    "attempts": "attempts x where x.job_id = any(%(jobs)s)",
    "assets": "assets x where x.job_id = any(%(jobs)s)",
}


def lock_unforgotten(conn: Connection[Any], job_ids: Sequence[UUID]) -> list[UUID]:
    """Lock those of the jobs that nobody has forgotten meanwhile, so that no two set the same rows aside."""
    rows = conn.execute(
        "select id from jobs where id = any(%s) and past_account_id is null order by id for no key update",
        [list(job_ids)],
    ).fetchall()
    return [row[0] for row in rows]


def set_aside(conn: Connection[Any], job_ids: Sequence[UUID], deliveries: str) -> None:
    """Set aside for the archive what is about to be deleted of these jobs, which the caller has locked. `deliveries`: SQL of
    the deliveries, as `x`, that go with them.
    """
    day = conn.execute("select to_char(app_now() at time zone 'UTC', 'YYYY-MM-DD')").fetchone()
    assert day is not None  # noqa: S101 - one row
    for kind in FORGOTTEN:
        new = uuid7()
        conn.execute(
            f"""with found as materialized (select {SHAPES[kind].selected()} from {_SOURCES.get(kind, deliveries)}),
                     file as (insert into archived_files (id, kind, key, rows)
                              select %(id)s, %(kind)s, %(key)s, count(*) from found having count(*) > 0
                                  on conflict (kind) where closed_at is null do update set rows = archived_files.rows + excluded.rows
                              returning id)
                insert into forgotten_rows (file_id, data) select file.id, to_jsonb(found) from found, file""",
            {"jobs": list(job_ids), "id": new, "kind": kind, "key": f"{settings().archive_prefix}{kind}/{day[0]}/{new.hex}.parquet"},
        )  # fmt: skip


def close_files(conn: Connection[Any]) -> int:
    """Close files that are full, or of a day that is over. Whoever is adding rows to one is waited for. Returns how many."""
    return conn.execute(
        """update archived_files set closed_at = app_now() where closed_at is null
              and (rows >= %s or opened_at < date_trunc('day', app_now() at time zone 'UTC') at time zone 'UTC')""",
        [FILE_ROWS],
    ).rowcount


def waiting_files(conn: Connection[Any], limit: int) -> list[WaitingFile]:
    """Files that are closed and not in the bucket, the oldest first."""
    rows = conn.execute(
        """select id, kind, key, rows from archived_files where closed_at is not null and archived_at is null
            order by closed_at, id limit %s""",
        [limit],
    ).fetchall()
    return [WaitingFile(*row) for row in rows]


def read_set_aside(
    conn: Connection[Any], file: WaitingFile, after: int, limit: int
) -> tuple[list[tuple[Any, ...]], int]:
    """The file's next rows behind that number, as its kind's columns, and the number of the last."""
    rows = conn.execute(
        f"""select x.*, r.number from forgotten_rows r cross join lateral jsonb_to_record(r.data) as x({SHAPES[file.kind].record()})
             where r.file_id = %s and r.number > %s order by r.number limit %s""",
        [file.id, after, limit],
    ).fetchall()
    return [row[:-1] for row in rows], rows[-1][-1] if rows else after


def finish_file(conn: Connection[Any], file_id: UUID, size_bytes: int) -> None:
    """Note that a file is in the bucket, and let its rows go. Again is fine."""
    conn.execute(
        "update archived_files set archived_at = app_now(), bytes = %s where id = %s and archived_at is null",
        [size_bytes, file_id],
    )
    conn.execute("delete from forgotten_rows where file_id = %s", [file_id])


def is_behind(conn: Connection[Any]) -> bool:
    """Whether so many files wait for the bucket that nothing more is to be forgotten until one of them is there."""
    return len(waiting_files(conn, MAX_WAITING)) == MAX_WAITING


def list_archive(conn: Connection[Any]) -> list[ArchivedMonth]:
    """What is in the archive, by kind and month."""
    rows = conn.execute(
        """select kind, to_char(coalesce(month::timestamp, opened_at at time zone 'UTC'), 'YYYY-MM') as m, count(*), sum(rows)::bigint, sum(bytes)::bigint
             from archived_files where archived_at is not null group by 1, 2 order by 1, 2"""
    ).fetchall()
    return [ArchivedMonth(*row) for row in rows]
