"""Months for the archive: those of events and deliveries that were detached, which are dropped once they are in it, and those of usage
that are over. Usage stays in the database as well: the audit proves it against the ledger, from the first day on.

A month is read by ranges of its pages, a short transaction each: nothing changes it any more, so it is the same rows each time, and no
long transaction keeps the rest of the database from being vacuumed.
"""

from datetime import date
from typing import Any, NamedTuple

from psycopg import Connection
from psycopg.errors import UndefinedTable
from psycopg.sql import SQL, Composed, Identifier
from uuid_utils.compat import uuid7

from common.settings import settings
from models.operations.archive_shapes import SHAPES, ArchiveKind

PAGES = 256  # read at once: two megabytes


class MonthIsGone(Exception):
    """Somebody else has archived this month meanwhile, and dropped it."""


class WaitingMonth(NamedTuple):
    """A month that is to be archived: its table, and whether that goes then."""

    table: str
    kind: ArchiveKind
    month: date
    goes: bool

    @property
    def key(self) -> str:
        """The month's file: the same whoever writes it."""
        return f"{settings().archive_prefix}{self.kind}/{self.month:%Y-%m}.parquet"


def waiting_months(conn: Connection[Any], limit: int) -> list[WaitingMonth]:
    """Months that are to be archived, the oldest first: detached ones, whatever ARCHIVE says by now, and with it those of usage
    that ended a week ago, so that all that happened in them is added up.
    """
    rows = conn.execute(
        """select c.relname, split_part(c.relname, '_', 1) as kind, to_date(right(c.relname, 7), 'YYYY_MM') as month, not c.relispartition
             from pg_class c
            where c.relnamespace = current_schema()::regnamespace and c.relkind = 'r'
              and (c.relname ~ '^(events|deliveries)_[0-9]{4}_[0-9]{2}$' and not c.relispartition
                or %s and c.relname ~ '^usage_[0-9]{4}_[0-9]{2}$' and c.relispartition
                   and to_date(right(c.relname, 7), 'YYYY_MM') + interval '1 month' < (app_now() at time zone 'UTC') - interval '7 days'
                   and not exists (select 1 from archived_files f where f.kind = 'usage' and f.month = to_date(right(c.relname, 7), 'YYYY_MM')))
            order by month, kind limit %s""",
        [settings().archive, limit],
    ).fetchall()
    return [WaitingMonth(*row) for row in rows]


def count_pages(conn: Connection[Any], month: WaitingMonth) -> int:
    """How many pages the month's table has. Raises MonthIsGone."""
    found = _asked(
        conn,
        SQL("select pg_relation_size({}::regclass) / current_setting('block_size')::int").format(f'"{month.table}"'),
    )
    if found[0][0] is None:  # it went between the look for its name and that for its size
        raise MonthIsGone
    return int(found[0][0])


def read_pages(conn: Connection[Any], month: WaitingMonth, first: int, count: int = PAGES) -> list[tuple[Any, ...]]:
    """The rows of so many pages of a month, as its kind's columns. Raises MonthIsGone."""
    pages = SQL("select {} from {} x where x.ctid >= {}::tid and x.ctid < {}::tid").format(
        SQL(SHAPES[month.kind].selected()), Identifier(month.table), f"({first},0)", f"({first + count},0)"
    )
    return _asked(conn, pages)


def _asked(conn: Connection[Any], statement: Composed) -> list[tuple[Any, ...]]:
    try:
        return conn.execute(statement, prepare=False).fetchall()
    except UndefinedTable as error:
        raise MonthIsGone from error


def note_month(conn: Connection[Any], month: WaitingMonth, key: str, rows: int, size_bytes: int) -> None:
    """Note that a month is in the bucket. Again is fine: it has the same rows."""
    conn.execute(
        """insert into archived_files (id, kind, month, key, rows, bytes, closed_at, archived_at)
           values (%s, %s, %s, %s, %s, %s, app_now(), app_now())
               on conflict (kind, month) do update
              set key = excluded.key, rows = excluded.rows, bytes = excluded.bytes, archived_at = excluded.archived_at""",
        [uuid7(), month.kind, month.month, key, rows, size_bytes],
    )


def drop_month(conn: Connection[Any], month: WaitingMonth) -> bool:
    """Drop a month that is in the archive. False: it is gone already; the database refuses one that is not there."""
    return conn.execute("select drop_detached_v1(p_name => %s)", [month.table]).fetchone() == (True,)
