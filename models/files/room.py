"""Room: how much an account stores, of what, and how much it may.

`accounts.storage_bytes` is the sum, moved under the account's lock by whoever stores or gives back; what it is made of stands
in `stored_kinds`, which triggers on the tables of files keep, so that a look costs the same however much is stored.
"""

from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

from psycopg import Connection
from sqlalchemy import CheckConstraint, Text
from sqlmodel import Field, SQLModel

from common.errors import NotFound, StorageQuotaExceeded
from models.columns import counter, end_or_never, in_list
from models.locks import read_locked

KINDS = ("image", "video", "speech", "text", "uploads")
LARGEST = 10  # that a look names, of results and of uploads alike


class StoredKind(SQLModel, table=True):
    """What an account stores of one kind (count_results.sql, count_uploads.sql). Changed under the account's lock."""

    __tablename__ = "stored_kinds"
    __table_args__ = (
        CheckConstraint(in_list("kind", *KINDS), name="kind"),
        CheckConstraint("bytes >= 0 and files >= 0", name="not_negative"),
    )

    account_id: UUID = Field(primary_key=True, foreign_key="accounts.id")
    kind: str = Field(primary_key=True, sa_type=Text)
    bytes: int = counter()
    files: int = counter()


class KindUse(NamedTuple):
    """How much of one kind."""

    kind: str
    bytes: int
    files: int


class LargeFile(NamedTuple):
    """A stored file: a result, with its job and its place there, or an upload, with none."""

    id: UUID
    job_id: UUID | None
    place: int | None  # among the job's outputs
    media_type: str
    size_bytes: int
    created_at: datetime
    expires_at: datetime | None  # None: kept for ever


class StorageUse(NamedTuple):
    """What an account stores, what its living jobs are taken to bring, and what its plan gives it."""

    used_bytes: int
    expected_bytes: int
    quota_bytes: int
    kinds: list[KindUse]
    largest: list[LargeFile]


def take(conn: Connection[Any], account_id: UUID, size_bytes: int) -> None:
    """Count bytes that are stored from now on; less than none: that are stored no more. The caller holds the account's lock."""
    conn.execute("update accounts set storage_bytes = storage_bytes + %s where id = %s", [size_bytes, account_id])


def check_room(conn: Connection[Any], account_id: UUID, size_bytes: int, *, lock: bool = False) -> None:
    """Raises StorageQuotaExceeded where an account has no room for so many bytes more."""
    columns = "a.storage_bytes, p.storage_quota_bytes"
    if lock:
        row = read_locked(conn, account_id, columns, plan=True)
    else:
        row = conn.execute(
            f"select {columns} from accounts a join plans p on p.id = a.plan_id where a.id = %s", [account_id]
        ).fetchone()
    if row is None:
        raise NotFound("there is no such account")
    used, quota = row
    if used + size_bytes > quota:
        raise StorageQuotaExceeded(
            f"{used} of {quota} bytes are in use, and this file has {size_bytes}; delete files or change plan",
            used_bytes=used, quota_bytes=quota, size_bytes=size_bytes,
        )  # fmt: skip


def look(conn: Connection[Any], account_id: UUID) -> StorageUse:
    """What an account stores. Files whose time has passed count until the sweep has found them. Raises NotFound."""
    row = conn.execute(
        """select a.storage_bytes, a.expected_bytes, p.storage_quota_bytes from accounts a join plans p on p.id = a.plan_id
            where a.id = %s""",
        [account_id],
    ).fetchone()
    if row is None:
        raise NotFound(f"no account {account_id}")
    found = conn.execute("select kind, bytes, files from stored_kinds where account_id = %s", [account_id]).fetchall()
    counted = {kind: KindUse(kind, size, files) for kind, size, files in found}
    kinds = [counted.get(kind, KindUse(kind, 0, 0)) for kind in KINDS]
    return StorageUse(row[0], row[1], row[2], kinds, _largest(conn, account_id))


def _largest(conn: Connection[Any], account_id: UUID) -> list[LargeFile]:
    rows = conn.execute(
        f"""select * from (
              (select s.id, s.job_id, s.index, s.media_type, s.size_bytes + s.thumbnail_bytes as size, s.created_at,
                      {end_or_never("s.expires_at")}
                 from assets s where s.account_id = %(account)s and s.status = 'stored'
                order by s.size_bytes + s.thumbnail_bytes desc, s.id limit %(limit)s)
              union all
              (select u.id, null, null, u.media_type, u.size_bytes, u.created_at, u.expires_at
                 from uploads u where u.account_id = %(account)s and u.status = 'stored'
                order by u.size_bytes desc, u.id limit %(limit)s)) x
            order by size desc, id limit %(limit)s""",
        {"account": account_id, "limit": LARGEST},
    ).fetchall()
    return [LargeFile(*row) for row in rows]
