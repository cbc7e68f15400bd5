"""The only place that opens transactions and commits (house rule 1).

`transaction()` gives a psycopg connection; the verbs take it, never commit, and do no I/O outside Postgres.
`session()` gives an SQLModel session over the same pool, for cold reads. A failure at COMMIT leaves the outcome
unknown: it is raised as CommitUnknown, and whoever can, reads again by an id that was made before.
"""

import logging
import select
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any
from uuid import UUID
from weakref import WeakKeyDictionary

import orjson
import psycopg
from psycopg import Connection
from psycopg.conninfo import make_conninfo
from psycopg.types.json import set_json_dumps, set_json_loads
from psycopg_pool import ConnectionPool
from sqlalchemy import Engine, create_engine
from sqlalchemy.pool import NullPool
from sqlmodel import Session

from models.errors import Busy, Unavailable
from models.settings import settings

set_json_dumps(orjson.dumps)
set_json_loads(orjson.loads)

log = logging.getLogger(__name__)

_lock = threading.Lock()
_pool: ConnectionPool[Connection[Any]] | None = None
_engine: Engine | None = None
_size: int | None = None
# Accounts that a transaction under way tells events of, and who hears of them once it is committed.
_told: WeakKeyDictionary[Connection[Any], set[UUID]] = WeakKeyDictionary()
_hearers: list[Callable[[set[UUID]], object]] = []


class CommitUnknown(Exception):
    """COMMIT failed: the transaction may or may not have happened."""


def conninfo(*, lock_timeout: str = "2s", statement_timeout: str = "10s") -> str:
    """libpq connection text with the time limits that every connection has."""
    offset = settings().clock_offset_seconds
    # No sequential scans: a plan that is made while a table is small, those of foreign keys' own checks included, stays
    # in the session's cache while the table grows (measured: 50 submits a second instead of 650). Every hot statement
    # has its index; the audit, which reads everything, switches them on again. No hash or merge joins either: of a batch
    # of submissions they would scan the index of all accounts and all grants, because both were few when it was planned.
    options = (
        f"-c enable_seqscan=off -c enable_hashjoin=off -c enable_mergejoin=off -c lock_timeout={lock_timeout} -c statement_timeout={statement_timeout} "
        f"-c idle_in_transaction_session_timeout=15s -c timezone=UTC -c app.clock_offset={offset}s"
    )
    url = settings().database_url.replace("postgresql+psycopg://", "postgresql://", 1)
    return make_conninfo(
        url, options=options, connect_timeout=5, application_name="headrace",
        keepalives_idle=30, keepalives_interval=10, keepalives_count=3, tcp_user_timeout=30_000,
    )  # fmt: skip


def _configure(conn: Connection[Any]) -> None:
    conn.prepare_threshold = 1  # the hot statements are few and long: plan them once per connection


def _take(connections: ConnectionPool[Connection[Any]]) -> Connection[Any]:
    """A connection that the server has not closed. The pool's own check would pause between one stale connection and the
    next, and after a restart of the server all are stale.
    """
    while True:
        conn = connections.getconn()
        if not _is_stale(conn):
            return conn
        conn.pgconn.finish()  # `close` would only return it; the pool replaces it
        connections.putconn(conn)


def _is_stale(conn: Connection[Any]) -> bool:
    """What the server has closed has something to read, its goodbye or its end. It costs no round trip."""
    if conn.closed:
        return True
    waiting = select.poll()
    waiting.register(conn.fileno(), select.POLLIN | select.POLLERR | select.POLLHUP)
    return bool(waiting.poll(0))


def size_pool(connections: int) -> None:
    """Say how many connections this process may hold; before the first use."""
    global _size  # noqa: PLW0603 - one pool per process
    _size = connections


def pool() -> ConnectionPool[Connection[Any]]:
    """This process's connections, opened on first use."""
    global _pool  # noqa: PLW0603 - one pool per process
    if _pool is None:
        with _lock:
            if _pool is None:
                _pool = ConnectionPool(
                    conninfo(), min_size=1, max_size=_size or settings().database_pool_size, timeout=5.0, max_idle=300.0,
                    configure=_configure, close_returns=True, name="headrace", open=True,
                    reconnect_timeout=4.0,  # after it, whoever asks next tries anew: no pause grows while it is away
                )  # fmt: skip
    return _pool


def close() -> None:
    """Close this process's connections (end of a process, or of a test)."""
    global _pool, _engine  # noqa: PLW0603 - one pool per process
    with _lock:
        if _engine is not None:
            _engine.dispose()
        if _pool is not None:
            _pool.close()
        _pool = _engine = None


def told(conn: Connection[Any], account_ids: Iterable[UUID]) -> None:
    """Say that this transaction tells events of these accounts: whoever listens hears of it after the commit."""
    _told.setdefault(conn, set()).update(account_ids)


def after_commit(hearer: Callable[[set[UUID]], object]) -> None:
    """Have a function called with the accounts of each commit that told of some. It is best effort: what it raises is
    logged. It is built in here so that no caller of a verb can forget it.
    """
    if hearer not in _hearers:
        _hearers.append(hearer)


def _tell(accounts: set[UUID] | None) -> None:
    if not accounts:
        return
    for hearer in _hearers:
        try:
            hearer(accounts)
        except Exception:
            log.exception("telling of a commit failed; listeners will find it at their next look")


@contextmanager
def single() -> Iterator[Connection[Any]]:
    """For verbs of one statement, which is then a transaction by itself: one round trip instead of three."""
    with transaction(autocommit=True) as conn:
        yield conn


@contextmanager
def transaction(*, autocommit: bool = False) -> Iterator[Connection[Any]]:
    """One transaction: committed at the end of the block, rolled back if the block raises.

    Raises CommitUnknown where the commit itself failed, Busy where a lock was not had in time, Unavailable where the
    database is away.
    """
    connections = pool()
    try:
        conn = _take(connections)
    except psycopg.OperationalError as error:
        raise Unavailable("the database does not answer; try again soon") from error
    try:
        conn.autocommit = autocommit  # of the client library: costs no round trip
        try:
            yield conn
        except BaseException as error:
            _roll_back(conn)
            if isinstance(error, psycopg.errors.LockNotAvailable):
                raise Busy("another request holds this account; try again soon") from error
            if isinstance(error, psycopg.OperationalError):
                raise Unavailable("the database did not answer; try again soon") from error
            raise
        try:
            conn.commit()
        except psycopg.OperationalError as error:
            _roll_back(conn)
            raise CommitUnknown(str(error)) from error
        except BaseException:
            _roll_back(conn)
            raise
        accounts = _told.pop(conn, None)
    finally:
        _told.pop(conn, None)
        connections.putconn(conn)
    _tell(accounts)


def _roll_back(conn: Connection[Any]) -> None:
    try:
        conn.rollback()
    except psycopg.Error:
        conn.pgconn.finish()  # `close` would only return it; the pool replaces it


def engine() -> Engine:
    """An SQLAlchemy engine over the same pool."""
    global _engine  # noqa: PLW0603 - one engine per process
    if _engine is None:
        _engine = create_engine("postgresql+psycopg://", poolclass=NullPool, creator=_for_session)
    return _engine


def _for_session() -> Connection[Any]:
    conn = _take(pool())
    conn.autocommit = False  # the last user may have been `single`
    return conn


@contextmanager
def session() -> Iterator[Session]:
    """An SQLModel session for cold reads and simple writes; committed at the end of the block."""
    with Session(engine(), expire_on_commit=False) as opened:
        yield opened
        opened.commit()
