"""Results: found by clients, expired by the scheduler, purged once no signed link can reach them."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

import orjson
from psycopg import Connection

from common.errors import NotFound, ResultGone
from common.settings import settings
from models.columns import end_or_never
from models.events import events
from models.files import cdn_purges
from models.files.states import AssetStatus
from models.files.sweeping import Purgeable, Swept
from models.locks import locking


class Result(NamedTuple):
    """A stored object, as needed to serve it."""

    id: UUID
    job_id: UUID | None  # None: a client's upload
    key: str
    thumbnail_key: str | None
    media_type: str
    size_bytes: int
    sha256: bytes
    lasts_seconds: int  # from now


# A result (`s`) as clients are shown it.
SHOWN = f"""jsonb_build_object(
           'id', s.id, 'index', s.index, 'media_type', s.media_type, 'size_bytes', s.size_bytes,
           'sha256', encode(s.sha256, 'hex'), 'width', s.width, 'height', s.height, 'duration_ms', s.duration_ms,
           'thumbnail', s.thumbnail_key is not null, 'expires_at', {end_or_never("s.expires_at")},
           'kept', s.status = 'stored' and s.plan_ends_at is not null,
           'status', case when s.status = 'stored' and s.expires_at <= app_now() then 'expired' else s.status end)"""


def find_result(conn: Connection[Any], asset_id: UUID) -> Result:
    """A result or an upload that can be served. Raises ResultGone from the moment its time has passed, whether swept or not."""
    row = conn.execute(
        """select id, job_id, key, thumbnail_key, media_type, size_bytes, sha256, status, expires_at,
                  expires_at <= app_now(), extract(epoch from expires_at - app_now())::bigint from assets where id = %s""",
        [asset_id],
    ).fetchone()
    if row is None:  # an upload's address, then; results are asked for far more often
        row = conn.execute(
            """select id, null, key, null, media_type, size_bytes, sha256, status, expires_at, expires_at <= app_now(),
                      extract(epoch from expires_at - app_now())::bigint from uploads where id = %s""",
            [asset_id],
        ).fetchone()
    if row is None:
        raise NotFound("there is no such file")
    check_there(*row[7:10])
    return Result(row[0], row[1], row[2], row[3], row[4], row[5], bytes(row[6]), row[10])


def find_own_result(conn: Connection[Any], account_id: UUID, asset_id: UUID) -> Result:
    """A result of an account. Raises NotFound, also for one of somebody else's, and ResultGone."""
    if (
        conn.execute("select 1 from assets where id = %s and account_id = %s", [asset_id, account_id]).fetchone()
        is None
    ):
        raise NotFound("there is no such result", param="id")
    return find_result(conn, asset_id)


def check_there(status: str, expires_at: datetime, past: bool) -> None:
    """Raises ResultGone for a file that was deleted, or whose time has passed, whether swept or not."""
    if status == AssetStatus.DELETED:
        raise ResultGone("this file was deleted", reason="deleted")
    if status == AssetStatus.EXPIRED or past:
        when = expires_at.isoformat(timespec="seconds")
        raise ResultGone(f"this file expired at {when}", reason="expired", expired_at=when)


_DUE = """status = 'stored' and expires_at <= app_now() and not (account_id = any(%(without)s))
              and (%(only)s::uuid is null or account_id = %(only)s)"""


def expire(conn: Connection[Any], limit: int, only: UUID | None = None, without: Sequence[UUID] = ()) -> Swept:
    """Mark results whose time has passed, give their storage back, and tell one event per account; of one account, or of
    all but some. Accounts that are locked are named, and left for another sweep.
    """
    conn.execute("set local enable_hashjoin = on")  # see models.db.conninfo: thousands of rows, and a bounded batch
    row = conn.execute(
        f"""with due as materialized (
             select id, account_id from assets where {_DUE} order by expires_at limit %(limit)s
           ), free as materialized (
             {locking("a.id", which="a.id = any(array(select distinct account_id from due))", skip_locked=True)}
           ), gone as (
             update assets s set status = 'expired', expired_at = app_now() from due join free on free.id = due.account_id
              where s.id = due.id and s.status = 'stored' and s.expires_at <= app_now()
             returning s.id, s.account_id, s.size_bytes + s.thumbnail_bytes as bytes
           ), sums as (
             select account_id, sum(bytes)::bigint as bytes, count(*) as results from gone group by account_id
           ), a as (
             update accounts a set storage_bytes = a.storage_bytes - s.bytes from sums s where a.id = s.account_id
           ), purges as ({cdn_purges.NOTE})
           select coalesce(sum(results), 0)::bigint,
                  coalesce(jsonb_object_agg(account_id, jsonb_build_object('results', results, 'bytes', bytes)), '{{}}'),
                  (select count(*) from due),
                  array(select account_id from due except select id from free) from sums""",
        {"limit": limit, "only": only, "without": list(without), "cdn": cdn_purges.are_told()},
    ).fetchone()
    if row is None:
        return Swept(0)
    if row[1]:
        events.add_each(conn, "assets.expired", {UUID(account_id): data for account_id, data in row[1].items()})
    return Swept(int(row[0]), row[2], row[3])


def accounts_due(conn: Connection[Any], limit: int, without: Sequence[UUID]) -> list[UUID]:
    """The accounts, but some, of the results that have been due for longest."""
    rows = conn.execute(
        f"select distinct account_id from (select account_id from assets where {_DUE} order by expires_at limit %(limit)s) x",
        {"limit": limit, "only": None, "without": list(without)},
    ).fetchall()
    return [row[0] for row in rows]


def to_purge(conn: Connection[Any], limit: int, after: tuple[datetime, UUID] | None = None) -> list[Purgeable]:
    """Results out of reach, with the keys of their objects: expired for longer than any signed link lives; those behind a
    place in their line.
    """
    at, number = after or (None, None)
    rows = conn.execute(
        """select id, key, thumbnail_key, expired_at from assets
            where status <> 'stored' and purged_at is null
              and expired_at <= app_now() - make_interval(secs => %s)
              and expired_at >= coalesce(%s::timestamptz, '-infinity')
              and (%s::uuid is null or (expired_at, id) > (%s::timestamptz, %s::uuid))
            order by expired_at, id limit %s""",
        [settings().signed_link_seconds, at, number, at, number, limit],
    ).fetchall()
    return [Purgeable(row[0], [key for key in row[1:3] if key], row[3]) for row in rows]


def confirm_purged(conn: Connection[Any], asset_ids: Sequence[UUID]) -> int:
    """Confirm that the objects of these results are gone."""
    return conn.execute(
        "update assets set purged_at = app_now() where id = any(%s) and purged_at is null", [list(asset_ids)]
    ).rowcount


def strays(conn: Connection[Any], objects: Sequence[tuple[str, UUID, int]]) -> list[str]:
    """Which of these objects, given as (key, job, attempt), are nobody's result and no live attempt's.

    All objects of a live attempt are spared, whoever holds the job and whatever its row names: a worker may have put one
    and not have written so yet.
    """
    if not objects:
        return []
    document = [{"key": key, "job_id": job_id, "number": number} for key, job_id, number in objects]
    rows = conn.execute(
        """select o.key from jsonb_to_recordset(%s::jsonb) as o(key text, job_id uuid, number bigint)
            where not exists (select 1 from assets a where a.job_id = o.job_id and o.key in (a.key, a.thumbnail_key))
              and not exists (select 1 from attempts l where l.job_id = o.job_id and l.number = o.number
                                                         and l.ended_at is null)""",
        [orjson.dumps(document).decode()],
    ).fetchall()
    return [row[0] for row in rows]
