"""The numbers of transactions, by which is found out what became of one."""

from typing import Any, NamedTuple

from psycopg import Connection, Cursor


class Number(NamedTuple):
    """Which transaction on which history of the database: after a failover the same number is another's."""

    transaction: str | None  # None: it has changed nothing so far
    timeline: str | None


def ask_number(conn: Connection[Any]) -> Cursor[Any]:
    """Ask for the number of the transaction under way; in a pipeline it costs no round trip of its own."""
    return conn.execute(
        """select pg_current_xact_id_if_assigned()::text,
                  case when not pg_is_in_recovery() then left(pg_walfile_name(pg_current_wal_insert_lsn()), 8) end"""
    )


def read_number(asked: Cursor[Any]) -> Number:
    """The answer to it."""
    row = asked.fetchone()
    assert row is not None  # noqa: S101 - one row
    return Number(*row)
