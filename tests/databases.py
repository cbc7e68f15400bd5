"""A database for each test: a new copy of the prepared one, or the one that the last test had, put back as it was.

A new copy costs 150 ms of a core and what is put back 10. So one is used again as long as nothing but rows was changed in
it: nobody else is connected, tables, functions, triggers and statistics are those of the copy, and it has hardly grown.
"""

import itertools
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
from psycopg import Connection, sql

from tests.sessions import Sessions

sessions = Sessions()
MAX_TESTS = 50  # on one database: dead rows add up
MAX_GROWTH_BYTES = 4_000_000
ALONE_SECONDS = 0.2  # for the server to see that a test's connections are closed
_numbers = itertools.count(1)

# Whoever adds, changes or empties one of these gives its row a new version, and a switched-off trigger or a limit counts.
_SHAPE = """
select sum(hashtext(concat_ws(' ', name, version))::bigint) from (
  select 'class ' || oid, xmin::text || relkind::text from pg_class where relnamespace = 'public'::regnamespace
  union all select 'column ' || attrelid || '.' || attnum, a.xmin::text from pg_attribute a
    join pg_class c on c.oid = attrelid where relnamespace = 'public'::regnamespace
  union all select 'function ' || oid, xmin::text from pg_proc where pronamespace = 'public'::regnamespace
  union all select 'constraint ' || oid, xmin::text from pg_constraint where connamespace = 'public'::regnamespace
  union all select 'trigger ' || oid, xmin::text from pg_trigger
  union all select 'schema ' || oid, xmin::text from pg_namespace where nspname !~ '^pg_(toast_)?temp'
  union all select 'extension ' || oid, xmin::text from pg_extension
  union all select 'setting ' || setrole, array_to_string(setconfig, ' ') from pg_db_role_setting
    where setdatabase in (0, (select oid from pg_database where datname = current_database()))
  union all select 'statistics', count(*)::text from pg_statistic s join pg_class c on c.oid = s.starelid
    where relnamespace = 'public'::regnamespace
) as x(name, version)
"""
_STATE = f"""
select ({_SHAPE}), sum(bytes)::bigint, coalesce(array_agg(relname) filter (where relkind = 'r' and bytes > 0), '{{}}')
  from (select relname, relkind, pg_relation_size(oid) as bytes from pg_class
         where relkind in ('r', 'i', 't') and (relnamespace = 'public'::regnamespace or relkind = 't')) as x
"""
_TABLES = """
select relname from pg_class where relnamespace = 'public'::regnamespace and relkind in ('r', 'p') and not relispartition
"""
_OTHERS = """
select count(*) from pg_stat_activity
 where datname = current_database() and pid <> pg_backend_pid() and backend_type = 'client backend' and pid <> all (%s)
"""
_USED = "select sequencename from pg_sequences where last_value is not null"
_RESTART = """
select setval(format('%I.%I', schemaname, sequencename)::regclass, start_value, false) from pg_sequences
 where last_value is not null
"""


@contextmanager
def new_database(admin: str, template: str) -> Iterator[str]:
    """A database of one's own for the time of a block. Gives its name."""
    name = _create(admin, template)
    yield name
    _drop(admin, name)


class Spare:
    """Lends one database to one test after the other, as long as it can be put back as it was."""

    def __init__(self, admin: str, template: str) -> None:
        self._admin = admin
        self._template = template
        self._name: str | None = None
        self._conn: Connection | None = None  # to the database that is lent, for as long as it is
        self._lent = 0
        with psycopg.connect(address(admin, template), autocommit=True) as conn:
            self._shape, self._size, _ = _state(conn)
            assert conn.execute(_USED).fetchall() == [], "a sequence of the prepared database has moved on"
            tables = [row[0] for row in conn.execute(_TABLES).fetchall()]
            self._rows = {table: rows for table in tables if (rows := _copy_out(conn, table))}

    @contextmanager
    def lend(self) -> Iterator[str]:
        """A database as it was prepared, for the time of a block. Gives its name."""
        if self._name is None:
            self._name, self._lent = _create(self._admin, self._template), 0
        self._lent += 1
        sessions.belong_to(address(self._admin, self._name))
        yield self._name
        try:
            sound = self._lent < MAX_TESTS and self._put_back()
        except psycopg.Error:  # what a test has done to it, or to its server, is not ours to understand
            sound = False
        if not sound:
            self.close()

    def disconnect(self) -> None:
        """Close the connections to what is there."""
        sessions.belong_to(None)
        if self._conn is not None:
            self._conn.close()
            self._conn = None

    def close(self) -> None:
        """Drop what is there."""
        self.disconnect()
        if self._name is not None:
            _drop(self._admin, self._name)
            self._name = None

    def _put_back(self) -> bool:
        conn, ours = self._connected(), sessions.reset()
        if not _is_alone(conn, ours):
            return False
        shape, size, filled = _state(conn)
        if shape != self._shape or size - self._size > MAX_GROWTH_BYTES:
            return False
        with conn.transaction():
            # Rows that nobody may delete, and foreign keys that go round in a circle, are not asked about.
            conn.execute("set local session_replication_role = replica")
            conn.execute(sql.SQL("; ").join(_DELETE.format(sql.Identifier(table)) for table in filled))
            for table, rows in self._rows.items():
                with conn.cursor().copy(_COPY_IN.format(sql.Identifier(table))) as copy:
                    copy.write(rows)
            conn.execute(_RESTART)
        return True

    def _connected(self) -> Connection:
        """The connection to what is lent, made anew if the test has ended it."""
        if self._conn is not None:
            try:
                self._conn.execute("")
            except psycopg.OperationalError:
                self._conn.close()
                self._conn = None
        if self._conn is None:
            assert self._name is not None
            self._conn = psycopg.connect(address(self._admin, self._name), autocommit=True)
        return self._conn


_DELETE = sql.SQL("delete from {}")
_COPY_IN = sql.SQL("copy {} from stdin")
_COPY_OUT = sql.SQL("copy {} to stdout")


def address(admin: str, name: str) -> str:
    """The address of a database beside the administrator's."""
    return admin.rpartition("/")[0] + "/" + name


def _create(admin: str, template: str) -> str:
    name = f"t{os.getpid()}_{next(_numbers)}"
    with psycopg.connect(admin, autocommit=True) as conn:
        conn.execute(f"create database {name} template {template}")
    return name


def _drop(admin: str, name: str) -> None:
    with psycopg.connect(admin, autocommit=True) as conn:
        conn.execute(f"drop database {name} with (force)")


def _is_alone(conn: Connection, but_for: list[int]) -> bool:
    end = time.monotonic() + ALONE_SECONDS
    while conn.execute(_OTHERS, [but_for]).fetchone() != (0,):
        if time.monotonic() > end:
            return False
        time.sleep(0.005)
    return True


def _copy_out(conn: Connection, table: str) -> bytes:
    kind = conn.execute("select relkind from pg_class where oid = %s::regclass", [table]).fetchone()
    if kind is None or kind[0] == "p":  # of a partitioned table only a query can be copied, and a new one has no rows
        return b""
    with conn.cursor().copy(_COPY_OUT.format(sql.Identifier(table))) as copy:
        return b"".join(map(bytes, copy))


def _state(conn: Connection) -> tuple[int, int, list[str]]:
    """Shape, size, and the tables in which there may be rows."""
    row = conn.execute(_STATE).fetchone()
    assert row is not None
    return row[0], row[1], row[2]
