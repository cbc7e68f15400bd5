"""What accounts do with their results: delete them, keep them past their plan's time, leave them to it again.

All of it happens under the account's lock, as the sweep that expires them does, so that what a result takes is given back once.
"""

from typing import Any
from uuid import UUID

from psycopg import Connection

from common.errors import JobNotEnded, NotFound, StorageQuotaExceeded
from common.retention_settings import MAX_HOURS
from common.settings import settings
from models.absence import refuse_absent
from models.events import events
from models.files import cdn_purges, results, room
from models.locks import lock_account, read_locked

MAX_INDEX = 32_767  # what the column holds


def delete(conn: Connection[Any], account_id: UUID, job_id: UUID, index: int | None = None) -> int:
    """Mark a result deleted, or all that a job still has, and give the storage back; the scheduler deletes the objects.
    Returns how many; again, or of what has expired, it changes nothing. Raises NotFound, JobNotEnded.
    """
    lock_account(conn, account_id)
    _check(conn, account_id, job_id, index)
    gone = conn.execute(
        """update assets set status = 'deleted', expired_at = app_now()
            where job_id = %s and status = 'stored' and expires_at > app_now() and (%s::int is null or index = %s)
           returning id, index, size_bytes + thumbnail_bytes""",
        [job_id, index, index],
    ).fetchall()
    if not gone:
        return 0
    size = sum(row[2] for row in gone)
    room.take(conn, account_id, -size)
    outputs = sorted(row[1] for row in gone)
    data = {"job": str(job_id), "outputs": outputs, "results": len(gone), "bytes": size}
    events.add(conn, account_id, "assets.deleted", data)
    cdn_purges.note(conn, [row[0] for row in gone])
    return len(gone)


def keep(conn: Connection[Any], account_id: UUID, job_id: UUID, index: int) -> dict[str, Any]:
    """Keep a result until it is deleted, if the account is within its quota; it counts as before. Again it changes nothing.

    Returns the result as it is shown. Raises NotFound, JobNotEnded, ResultGone, StorageQuotaExceeded.
    """
    row = read_locked(conn, account_id, "a.storage_bytes, p.storage_quota_bytes", plan=True)
    _check(conn, account_id, job_id, index)
    if not _is_kept(conn, job_id, index) and row is not None and row[0] > row[1]:
        raise StorageQuotaExceeded(
            f"{row[0]} of {row[1]} bytes are in use, so nothing is kept for longer; delete results or change plan",
            used_bytes=row[0], quota_bytes=row[1],
        )  # fmt: skip
    conn.execute(
        """update assets set plan_ends_at = expires_at, expires_at = app_now() + make_interval(hours => %s)
            where job_id = %s and index = %s and plan_ends_at is null""",
        [MAX_HOURS, job_id, index],
    )
    return _shown(conn, job_id, index)


def let_go(conn: Connection[Any], account_id: UUID, job_id: UUID, index: int) -> dict[str, Any]:
    """Leave a kept result to its plan's time again, but not sooner than UNKEPT_HOURS from now. Again it changes nothing.

    Returns the result as it is shown. Raises NotFound, JobNotEnded, ResultGone.
    """
    lock_account(conn, account_id)
    _check(conn, account_id, job_id, index)
    if _is_kept(conn, job_id, index):
        conn.execute(
            """update assets set expires_at = greatest(plan_ends_at, app_now() + make_interval(hours => %s)), plan_ends_at = null
                where job_id = %s and index = %s""",
            [settings().unkept_hours, job_id, index],
        )
    return _shown(conn, job_id, index)


def owner(conn: Connection[Any], job_id: UUID) -> UUID:
    """Whose results those of a job are. Raises NotFound."""
    row = conn.execute("select account_id from jobs where id = %s", [job_id]).fetchone()
    if row is None or row[0] is None:
        refuse_absent(conn, job_id)
    found: UUID = row[0]
    return found


def _check(conn: Connection[Any], account_id: UUID, job_id: UUID, index: int | None) -> None:
    """Raises NotFound for what is not there, or somebody else's; JobNotEnded for a job that is under way."""
    row = conn.execute(
        """select j.ended, %s::int is null or exists (select 1 from assets s where s.job_id = j.id and s.index = %s)
             from jobs j where j.id = %s and j.account_id = %s""",
        [index, index, job_id, account_id],
    ).fetchone()
    if row is None:
        refuse_absent(conn, job_id, account_id)
    if row[0] is None:
        raise JobNotEnded(
            "this job has not ended yet, so it has no outputs; cancel it, or wait for its end", param="id"
        )
    if not row[1]:
        raise NotFound(f"job {job_id} has no output {index}", param="index")


def _is_kept(conn: Connection[Any], job_id: UUID, index: int) -> bool:
    """Whether a result is kept past its plan's time. Raises ResultGone."""
    row = conn.execute(
        """select plan_ends_at is not null, status, expires_at, expires_at <= app_now() from assets
            where job_id = %s and index = %s""",
        [job_id, index],
    ).fetchone()
    assert row is not None  # noqa: S101 - it was found under the account's lock
    results.check_there(*row[1:])
    return bool(row[0])


def _shown(conn: Connection[Any], job_id: UUID, index: int) -> dict[str, Any]:
    row = conn.execute(
        f"select {results.SHOWN} from assets s where s.job_id = %s and s.index = %s", [job_id, index]
    ).fetchone()
    assert row is not None  # noqa: S101 - the same
    found: dict[str, Any] = row[0]
    return found
