"""What a backup reads of a database that lives, and what a restore asks of one that should be empty."""

from collections.abc import Iterator
from datetime import datetime
from typing import Any, NamedTuple

from psycopg import Connection

ROWS = 1000  # that are fetched at a time

# Every object that the database names and that should be there. What is being fetched or uploaded just now is in no row,
# and inputs are fetched again.
_NAMED = """
select key, media_type, size_bytes, encode(sha256, 'hex') from assets where status = 'stored'
union all
select thumbnail_key, null, thumbnail_bytes, null from assets where status = 'stored' and thumbnail_key is not null
union all
select key, media_type, size_bytes, encode(sha256, 'hex') from uploads where status = 'stored'
union all
select substring(o->>'address' from 8), o->>'media_type', null, null from attempts a, jsonb_array_elements(a.delivered->'outputs') o
 where a.ended_at is null and a.phase = 'delivered' and o->>'address' like 'staged:%'
union all
select o->'asset'->>'key', o->'asset'->>'media_type', (o->'asset'->>'size_bytes')::bigint, o->'asset'->>'sha256'
  from attempts a, jsonb_array_elements(a.delivered->'outputs') o
 where a.ended_at is null and a.phase = 'delivered' and o ? 'asset'
union all
select o->'asset'->>'thumbnail_key', null, (o->'asset'->>'thumbnail_bytes')::bigint, null
  from attempts a, jsonb_array_elements(a.delivered->'outputs') o
 where a.ended_at is null and a.phase = 'delivered' and o->'asset'->>'thumbnail_key' is not null
"""
_COUNTS = """
select (select count(*) from accounts), (select count(*) from jobs), (select count(*) from job_runs),
       (select count(*) from attempts where ended_at is null), (select count(*) from ledger_entries),
       (select count(*) from assets), (select count(*) from uploads)"""
_COUNTED = ("accounts", "jobs", "living_jobs", "living_attempts", "ledger_entries", "assets", "uploads")


class Seen(NamedTuple):
    """One moment of a database. `name`: by which pg_dump sees the same one, for as long as the transaction lives."""

    name: str
    taken_at: datetime
    server: str
    revision: str
    counts: dict[str, int]


class NamedObject(NamedTuple):
    """An object that the database names. Size and sum are None where no row tells them."""

    key: str
    media_type: str | None
    size: int | None
    sha256: str | None


def hold_moment(conn: Connection[Any]) -> Seen:
    """Begin a transaction that sees the database as it is now, and export it."""
    conn.execute("set transaction isolation level repeatable read, read only")
    row = conn.execute(
        "select pg_export_snapshot(), app_now(), current_setting('server_version'), (select version_num from alembic_version)"
    ).fetchone()
    counts = conn.execute(_COUNTS).fetchone()
    assert row is not None  # noqa: S101 - always one
    assert counts is not None  # noqa: S101 - always one
    name, taken_at, server, revision = row
    return Seen(name, taken_at, server, revision, dict(zip(_COUNTED, counts, strict=True)))


def named_objects(conn: Connection[Any]) -> Iterator[NamedObject]:
    """Every object that should be in the bucket, as this transaction sees it."""
    with conn.cursor("named") as cursor:
        cursor.itersize = ROWS
        for each in cursor.execute(_NAMED):
            yield NamedObject(*each)


def some_tables(conn: Connection[Any]) -> list[str]:
    """Three of the tables, views and sequences that there are already: none in an empty database."""
    rows = conn.execute(
        """select c.relname from pg_class c join pg_namespace n on n.oid = c.relnamespace
            where c.relkind in ('r', 'p', 'v', 'm', 'S', 'f') and n.nspname !~ '^pg_' and n.nspname <> 'information_schema'
              and not exists (select from pg_depend d where d.objid = c.oid and d.deptype = 'e')
            order by 1 limit 3"""
    ).fetchall()
    return [row[0] for row in rows]


def count_others(conn: Connection[Any]) -> int:
    """How many connections other processes of ours have to this database."""
    row = conn.execute(
        """select count(*) from pg_stat_activity
            where datname = current_database() and pid <> pg_backend_pid() and backend_type = 'client backend'
              and application_name = 'headrace'"""
    ).fetchone()
    return row[0] if row else 0
