"""PostgreSQL: every statement and every COMMIT, at psycopg's cursor and connection."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from unittest.mock import patch

import psycopg
from psycopg import pq

from tests.sweep.boundary import WRITING, Boundary

# Raised by the server itself, so that the transaction is as broken as it would be.
CODES = {"hang": "57014", "lock": "55P03", "readonly": "25006"}
READ = ("fail", "hang", "kill")
WRITE = ("fail", "hang", "lock", "readonly", "kill")
ALONE = ("fail", "hang", "lock", "readonly", "lost", "late", "kill")  # its own transaction
COMMIT = ("fail", "lost", "late", "kill")


def text_of(query: Any, cursor: Any) -> str:
    """The statement on one line."""
    if isinstance(query, bytes):
        text = query.decode()
    elif isinstance(query, str):
        text = query
    else:
        text = query.as_string(cursor)
    return " ".join(text.split())


def _closed() -> pq.abc.PGconn:
    conn = pq.PGconn.connect(b"host=127.0.0.1 port=1 connect_timeout=1")
    conn.finish()
    return conn


@contextmanager
def hooked(boundary: Boundary) -> Iterator[None]:
    """Watch psycopg for the time of the block."""
    with _statements(boundary), _commits(boundary):
        yield


@contextmanager
def _statements(boundary: Boundary) -> Iterator[None]:
    execute = psycopg.Cursor.execute

    def watched(self: Any, query: Any, params: Any = None, **more: Any) -> Any:
        text = text_of(query, self)
        if boundary.process is None or text in {"", "select 1"}:  # a pool's look whether a connection lives
            return execute(self, query, params, **more)
        conn = self.connection
        alone = conn.autocommit and conn.info.transaction_status == pq.TransactionStatus.IDLE
        ways = READ if not WRITING.search(text) and " for " not in text else ALONE if alone else WRITE
        way = boundary.cross("sql", text[:90], ways)
        if way is None:
            done = execute(self, query, params, **more)
            boundary.wrote(text, committed=alone)
            return done
        if way in CODES:
            execute(self, f"do $$ begin raise exception 'swept' using errcode = '{CODES[way]}'; end $$")
        if way == "lost":
            execute(self, query, params, **more)
        if way == "late":
            again = conn.info.dsn, conn.info.password
            boundary.later(lambda: _alone(execute, *again, query, params))
        conn.pgconn.finish()  # the connection is lost, and its client has not noticed yet
        raise _gone(boundary, way)

    with patch.object(psycopg.Cursor, "execute", watched):
        yield


@contextmanager
def _commits(boundary: Boundary) -> Iterator[None]:
    commit, nobody = psycopg.Connection.commit, _closed()

    def watched(self: Any) -> None:
        if boundary.process is None or self.info.transaction_status != pq.TransactionStatus.INTRANS:
            commit(self)
            return
        way = boundary.cross("commit", "COMMIT", COMMIT)
        if way is None:
            commit(self)
            boundary.wrote("", committed=True)
            return
        if way == "lost":
            commit(self)
        if way == "late":
            real, self.pgconn = self.pgconn, nobody
            boundary.later(lambda: (real.exec_(b"COMMIT"), real.finish()))
        else:
            self.pgconn.finish()
        raise _gone(boundary, way)

    with patch.object(psycopg.Connection, "commit", watched):
        yield


def _gone(boundary: Boundary, way: str) -> BaseException:
    gone = psycopg.OperationalError("server closed the connection unexpectedly")
    return boundary.killed(gone) if way == "kill" else gone


def _alone(execute: Any, dsn: str, password: str, query: Any, params: Any) -> None:
    with psycopg.connect(dsn, password=password, autocommit=True) as conn, conn.cursor() as cursor:
        execute(cursor, query, params)
