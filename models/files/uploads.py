"""Uploads: files that a client gave as inputs of jobs. Kept for UPLOAD_HOURS after their last use, then expired and purged."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

from psycopg import Connection
from psycopg.rows import class_row
from psycopg.types.json import Jsonb
from sqlalchemy import BigInteger, CheckConstraint, Column, Index, Integer, LargeBinary, Text, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlmodel import Field, SQLModel

from common.errors import NotFound
from common.settings import settings
from models.columns import MAX_INTEGER, UTC_TIME, created_at, in_list, moment, within
from models.files import cdn_purges, room
from models.files.states import AssetStatus
from models.files.sweeping import Purgeable, Swept
from models.locks import lock_account, lock_accounts


class Upload(SQLModel, table=True):
    """A stored file of a client's. The row is the commit point: an object without one is a stray."""

    __tablename__ = "uploads"
    __table_args__ = (
        CheckConstraint(in_list("status", *AssetStatus), name="status"),
        CheckConstraint("(status = 'stored') = (expired_at is null)", name="expired_at"),
        CheckConstraint("purged_at is null or status <> 'stored'", name="purged_at"),
        CheckConstraint("size_bytes > 0 and length(sha256) = 32", name="bytes"),
        Index(None, "account_id", text("id desc")),
        Index(
            "ix_uploads_largest",
            "account_id",
            text("size_bytes desc"),
            "id",
            postgresql_where=text("status = 'stored'"),
        ),
        Index("ix_uploads_same", "account_id", "sha256", postgresql_where=text("status = 'stored'")),
        Index("ix_uploads_expires_at", "expires_at", postgresql_where=text("status = 'stored'")),
        Index("ix_uploads_purged_at", "purged_at", postgresql_where=text("purged_at is not null")),
        Index("ix_uploads_purge", "expired_at", postgresql_where=text("status <> 'stored' and purged_at is null")),
    )

    id: UUID = Field(primary_key=True)
    account_id: UUID = Field(foreign_key="accounts.id", nullable=False)
    key: str = Field(sa_type=Text, nullable=False, unique=True)
    media_type: str = Field(sa_type=Text, nullable=False)
    size_bytes: int = Field(sa_type=BigInteger, nullable=False)
    sha256: bytes = Field(sa_column=Column(LargeBinary, nullable=False))
    width: int | None = Field(default=None, sa_type=Integer, nullable=True)
    height: int | None = Field(default=None, sa_type=Integer, nullable=True)
    duration_ms: int | None = Field(default=None, sa_type=Integer, nullable=True)
    status: str = Field(
        default=AssetStatus.STORED,
        sa_type=Text,
        nullable=False,
        sa_column_kwargs={"server_default": AssetStatus.STORED.value},
    )
    created_at: datetime = created_at()
    expires_at: datetime = Field(sa_column=Column(UTC_TIME, nullable=False))
    expired_at: datetime | None = moment()
    purged_at: datetime | None = moment()
    # What its sender says of it, such as its name; bounded where it is read. Gone with the file.
    said: dict[str, Any] | None = Field(default=None, sa_column=Column(JSONB(none_as_null=True), nullable=True))


class NewUpload(NamedTuple):
    """A stored object that becomes an upload."""

    id: UUID
    account_id: UUID
    key: str
    media_type: str
    size_bytes: int
    sha256: bytes
    width: int | None
    height: int | None
    duration_ms: int | None
    said: dict[str, Any] | None = None


class UploadRow(NamedTuple):
    """An upload as it is shown and read."""

    id: UUID
    key: str
    media_type: str
    size_bytes: int
    sha256: bytes
    width: int | None
    height: int | None
    duration_ms: int | None
    created_at: datetime
    expires_at: datetime
    said: dict[str, Any] | None = None


_COLUMNS = "id, key, media_type, size_bytes, sha256, width, height, duration_ms, created_at, expires_at, said"
_ALIVE = "status = 'stored' and expires_at > app_now()"


def id_text(upload_id: UUID) -> str:
    """How clients know an upload."""
    return f"file_{upload_id.hex}"


def id_of(given: str) -> UUID | None:
    """The upload that a client names, as `file_…` or as a UUID; None for a text that is neither."""
    try:
        return UUID(given.removeprefix("file_")) if len(given) <= 41 else None
    except ValueError:
        return None


def create(conn: Connection[Any], new: NewUpload) -> UploadRow:
    """Make a stored object an upload, counted as the account's storage. Raises StorageQuotaExceeded."""
    room.check_room(conn, new.account_id, new.size_bytes, lock=True)
    room.take(conn, new.account_id, new.size_bytes)
    row = _rows(
        conn,
        f"""insert into uploads (id, account_id, key, media_type, size_bytes, sha256, width, height, duration_ms, said, expires_at)
            values (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, app_now() + make_interval(hours => %s)) returning {_COLUMNS}""",
        [*_kept(new)[:-1], None if new.said is None else Jsonb(new.said), settings().upload_hours],
    )
    return row[0]


def _kept(new: NewUpload) -> NewUpload:
    """With what a file's header says of it brought within its columns: a header may say anything."""
    width, height, duration = (
        None if each is None else within(each, MAX_INTEGER) for each in (new.width, new.height, new.duration_ms)
    )
    return new._replace(width=width, height=height, duration_ms=duration)


def find(conn: Connection[Any], account_id: UUID, upload_id: UUID) -> UploadRow:
    """An account's own upload. Raises NotFound for another's, and from the moment its time has passed."""
    found = _rows(
        conn,
        f"select {_COLUMNS} from uploads where id = %s and account_id = %s and {_ALIVE}",
        [upload_id, account_id],
    )
    if not found:
        raise NotFound(f"no file {id_text(upload_id)}, or it has expired", param="id")
    return found[0]


def find_same(conn: Connection[Any], account_id: UUID, sha256: bytes) -> UploadRow | None:
    """The account's living upload of these very bytes, renewed: an input that is sent again is not stored again."""
    found = _rows(
        conn,
        f"""update uploads set expires_at = greatest(expires_at, app_now() + make_interval(hours => %s))
             where id = (select id from uploads where account_id = %s and sha256 = %s and {_ALIVE} order by id limit 1)
               and {_ALIVE} returning {_COLUMNS}""",
        [settings().upload_hours, account_id, sha256],
    )
    return found[0] if found else None


def use(conn: Connection[Any], account_id: UUID, upload_id: UUID) -> UploadRow:
    """An account's upload that becomes a job's input: its life begins anew, so that it outlives the job's wait.

    Raises NotFound.
    """
    found = _rows(
        conn,
        f"""update uploads set expires_at = greatest(expires_at, app_now() + make_interval(hours => %s))
             where id = %s and account_id = %s and {_ALIVE} returning {_COLUMNS}""",
        [settings().upload_hours, upload_id, account_id],
    )
    if not found:
        raise NotFound(f"no file {id_text(upload_id)}, or it has expired", param="id")
    return found[0]


def find_for_job(conn: Connection[Any], account_id: UUID, upload_id: UUID) -> UploadRow | None:
    """An upload whose object is still there, for a job that was accepted with it. None: deleted, purged or another's."""
    found = _rows(
        conn,
        f"""select {_COLUMNS} from uploads
             where id = %s and account_id = %s and status <> 'deleted' and purged_at is null""",
        [upload_id, account_id],
    )
    return found[0] if found else None


def page(conn: Connection[Any], account_id: UUID, *, before: UUID | None, limit: int) -> list[UploadRow]:
    """An account's living uploads, newest first."""
    return _rows(
        conn,
        f"""select {_COLUMNS} from uploads where account_id = %s and (%s::uuid is null or id < %s) and {_ALIVE}
             order by id desc limit %s""",
        [account_id, before, before, limit],
    )


def delete(conn: Connection[Any], account_id: UUID, upload_id: UUID) -> None:
    """Mark an upload deleted and give its storage back; the scheduler deletes the object. Raises NotFound."""
    lock_account(conn, account_id)
    row = conn.execute(
        f"""update uploads set status = 'deleted', expired_at = app_now(), said = null
             where id = %s and account_id = %s and {_ALIVE} returning size_bytes""",
        [upload_id, account_id],
    ).fetchone()
    if row is None:
        raise NotFound(f"no file {id_text(upload_id)}, or it has expired", param="id")
    room.take(conn, account_id, -row[0])
    cdn_purges.note(conn, [upload_id])


_DUE = """status = 'stored' and expires_at <= app_now() and not (account_id = any(%(without)s))
              and (%(only)s::uuid is null or account_id = %(only)s)"""


def expire(conn: Connection[Any], limit: int, only: UUID | None = None, without: Sequence[UUID] = ()) -> Swept:
    """Mark uploads whose time has passed, and give their storage back; of one account, or of all but some. Accounts that
    are locked are named, and left for another sweep.
    """
    due = conn.execute(
        f"select id, account_id from uploads where {_DUE} order by expires_at limit %(limit)s",
        {"limit": limit, "only": only, "without": list(without)},
    ).fetchall()
    if not due:
        return Swept(0)
    accounts = {row[1] for row in due}
    free = lock_accounts(conn, accounts, skip_locked=True)
    row = conn.execute(
        f"""with gone as (
             update uploads set status = 'expired', expired_at = app_now(), said = null
              where id = any(%(ids)s) and status = 'stored' and expires_at <= app_now() returning id, account_id, size_bytes
           ), sums as (
             select account_id, sum(size_bytes)::bigint as bytes, count(*) as uploads from gone group by account_id
           ), a as (
             update accounts a set storage_bytes = a.storage_bytes - s.bytes from sums s where a.id = s.account_id
           ), purges as ({cdn_purges.NOTE})
           select coalesce(sum(uploads), 0)::bigint from sums""",
        {"ids": [row[0] for row in due if row[1] in free], "cdn": cdn_purges.are_told()},
    ).fetchone()
    return Swept(int(row[0]) if row else 0, len(due), sorted(accounts - free))


def accounts_due(conn: Connection[Any], limit: int, without: Sequence[UUID]) -> list[UUID]:
    """The accounts, but some, of the uploads that have been due for longest."""
    rows = conn.execute(
        f"select distinct account_id from (select account_id from uploads where {_DUE} order by expires_at limit %(limit)s) x",
        {"limit": limit, "only": None, "without": list(without)},
    ).fetchall()
    return [row[0] for row in rows]


def to_purge(conn: Connection[Any], limit: int, after: tuple[datetime, UUID] | None = None) -> list[Purgeable]:
    """Uploads out of reach, with their keys: expired for longer than any signed link lives; those behind a place in their
    line.
    """
    at, number = after or (None, None)
    rows = conn.execute(
        """select id, key, expired_at from uploads where status <> 'stored' and purged_at is null
              and expired_at <= app_now() - make_interval(secs => %s)
              and expired_at >= coalesce(%s::timestamptz, '-infinity')
              and (%s::uuid is null or (expired_at, id) > (%s::timestamptz, %s::uuid))
            order by expired_at, id limit %s""",
        [settings().signed_link_seconds, at, number, at, number, limit],
    ).fetchall()
    return [Purgeable(row[0], [row[1]], row[2]) for row in rows]


def confirm_purged(conn: Connection[Any], upload_ids: Sequence[UUID]) -> int:
    """Confirm that the objects of these uploads are gone."""
    return conn.execute(
        "update uploads set purged_at = app_now() where id = any(%s) and purged_at is null", [list(upload_ids)]
    ).rowcount


def forget(conn: Connection[Any], limit: int) -> int:
    """Delete the rows of uploads whose objects have been gone for UPLOAD_ROW_DAYS. Returns how many."""
    return conn.execute(
        """delete from uploads where id in (
             select id from uploads where purged_at < app_now() - make_interval(days => %s) order by purged_at limit %s)""",
        [settings().upload_row_days, limit],
    ).rowcount


def strays(conn: Connection[Any], object_keys: Sequence[str]) -> list[str]:
    """Which of these objects are no upload's."""
    rows = conn.execute(
        "select k from unnest(%s::text[]) as k where not exists (select 1 from uploads u where u.key = k)",
        [list(object_keys)],
    ).fetchall()
    return [row[0] for row in rows]


def input_strays(conn: Connection[Any], objects: Sequence[tuple[str, UUID]]) -> list[str]:
    """Which of these objects, given as (key, job), were fetched for a job that lives no more."""
    rows = conn.execute(
        """select o.key from unnest(%s::text[], %s::uuid[]) as o(key, job_id)
            where not exists (select 1 from job_runs r where r.job_id = o.job_id)""",
        [[key for key, _ in objects], [job_id for _, job_id in objects]],
    ).fetchall()
    return [row[0] for row in rows]


def _rows(conn: Connection[Any], statement: str, values: Sequence[Any]) -> list[UploadRow]:
    with conn.cursor(row_factory=class_row(UploadRow)) as cursor:
        return cursor.execute(statement, values).fetchall()
