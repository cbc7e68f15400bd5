"""The only place that opens transactions and commits (house rule 1).

`transaction()` gives a psycopg connection; the verbs take it, never commit, and do no I/O outside Postgres.
`session()` gives an SQLModel session over the same pool, for cold reads. A failure at COMMIT leaves the outcome
unknown: `certain()` finds out by the transaction's number; where that cannot be, CommitUnknown is raised.
"""

import logging
import select
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, ClassVar
from uuid import UUID
from weakref import WeakKeyDictionary

import orjson
import psycopg
import sqlalchemy
from psycopg import Connection, Cursor
from psycopg.types.json import set_json_dumps, set_json_loads
from psycopg_pool import ConnectionPool
from sqlalchemy import Engine, create_engine, event
from sqlalchemy.exc import DBAPIError
from sqlalchemy.pool import NullPool
from sqlmodel import Session

from common.errors import DatabaseAway, DomainError, Unavailable
from common.settings import settings
from models import connecting, failures
from models.connecting import Linked
from models.numbers import Number, ask_number, read_number

set_json_dumps(orjson.dumps)
set_json_loads(orjson.loads)

log = logging.getLogger(__name__)

_lock = threading.Lock()
_pool: ConnectionPool[Linked] | None = None
_engine: Engine | None = None
_size: int | None = None
# Accounts that a transaction under way tells events of, and who hears of them once it is committed.
_told: WeakKeyDictionary[Connection[Any], set[UUID]] = WeakKeyDictionary()
# What a transaction under way has asked for with its main statement: its number, should the answer to its COMMIT be lost.
_asked: WeakKeyDictionary[Connection[Any], Cursor[Any]] = WeakKeyDictionary()
_hearers: list[Callable[[set[UUID]], object]] = []
_closers: list[Callable[[], object]] = []
# For how many milliseconds the transactions of this request wait for a lock; None: as long as every connection does.
_patience: ContextVar[int | None] = ContextVar("patience", default=None)

MOMENT_MILLISECONDS = 50  # longer than a lock is held by whatever goes well
GETTING_SECONDS = 5.0  # for a connection
FIND_OUT_SECONDS = 5.0  # for the outcome of a COMMIT whose answer was lost
LATE_SECONDS = 1.0  # after which a COMMIT that is still on its way is not waited for any more


class CommitUnknown(DomainError):
    """It is not known whether this was done: look, or try again soon."""

    code: ClassVar[str] = "outcome_unknown"
    status: ClassVar[int] = 503
    retryable: ClassVar[bool] = True


def take(connections: ConnectionPool[Linked], seconds: float = GETTING_SECONDS) -> Linked:
    """A connection that the server has not closed. The pool's own check would pause between one stale connection and the
    next, and after a restart of the server all are stale. Raises psycopg.OperationalError where there is none in so long.
    """
    while True:
        conn = connections.getconn(seconds)
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


def pool() -> ConnectionPool[Linked]:
    """This process's connections, opened on first use."""
    global _pool  # noqa: PLW0603 - one pool per process
    if _pool is None:
        with _lock:
            if _pool is None:
                _pool = ConnectionPool(
                    connection_class=Linked, kwargs={"wanted": connecting.wanted(lock_timeout="2s", statement_timeout="10s")},
                    min_size=1, max_size=_size or settings().database_pool_size, timeout=GETTING_SECONDS, max_idle=300.0,
                    close_returns=True, name="headrace", open=True,
                    # Or the pauses between its tries grow with the outage, and go on for as long after it.
                    reconnect_timeout=GETTING_SECONDS,
                )  # fmt: skip
    return _pool


def pool_stats() -> dict[str, int]:
    """What the pool says of itself; nothing before its first use."""
    return {} if _pool is None else _pool.get_stats()


def close() -> None:
    """Close this process's connections (end of a process, or of a test)."""
    global _pool, _engine  # noqa: PLW0603 - one pool per process
    with _lock:
        if _engine is not None:
            _engine.dispose()
        if _pool is not None:
            _pool.close()
        _pool = _engine = None
    for each in _closers:
        each()


def close_with(closer: Callable[[], object]) -> None:
    """Have something else closed whenever these connections are."""
    _closers.append(closer)


def wake_listeners_after_commit(conn: Connection[Any], account_ids: Iterable[UUID]) -> None:
    """Say that this transaction tells events of these accounts: whoever listens hears of it after the commit."""
    _told.setdefault(conn, set()).update(account_ids)


def after_commit(hearer: Callable[[set[UUID]], object]) -> None:
    """Have a function called with the accounts of each commit that wrote some. It is best effort: what it raises is
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
def single(*, wake: bool = True) -> Iterator[Connection[Any]]:
    """For verbs of one statement, which is then a transaction by itself: one round trip instead of three. Behind a pooler
    it is a transaction like any other.
    """
    with transaction(autocommit=True, wake=wake) as conn:
        yield conn


@contextmanager
def certain(*, wake: bool = True) -> Iterator[Connection[Any]]:
    """A transaction whose outcome is found out should the answer to its COMMIT be lost. Costs one round trip more."""
    with transaction(find_out=True, wake=wake) as conn:
        yield conn


def write_certainly(conn: Connection[Any], statement: str, values: Sequence[Any]) -> None:
    """Execute the main statement of a `certain` transaction, and ask in the same round trip for what its outcome is found out
    by. Other statements may follow.
    """
    with conn.pipeline():
        conn.execute(statement, values)
        _asked[conn] = ask_number(conn)


@contextmanager
def snapshot() -> Iterator[Connection[Any]]:
    """A transaction that only reads, and in which all statements see the same moment."""
    with transaction() as conn:
        conn.execute("set transaction isolation level repeatable read, read only")
        yield conn


@contextmanager
def patience(milliseconds: int) -> Iterator[None]:
    """For the block, and what it calls in threads, how long transactions wait for a lock before they raise Busy."""
    before = _patience.set(milliseconds)
    try:
        yield
    finally:
        _patience.reset(before)


@contextmanager
def transaction(*, autocommit: bool = False, find_out: bool = False, wake: bool = True) -> Iterator[Connection[Any]]:
    """One transaction: committed at the end of the block, rolled back if the block raises.

    `wake` false: the caller wakes the listeners itself, in the round trip in which it rings the jobs of this commit.

    Raises Busy where a lock was not had in time, Unavailable where the database is away or cannot (read-only, full), and
    then nothing was done; CommitUnknown where that is not known.
    """
    connections = pool()
    try:
        conn = take(connections)
    except psycopg.OperationalError as error:
        raise DatabaseAway("the database does not answer; try again soon") from error
    try:
        number = None
        autocommit = autocommit and not conn.behind_pooler
        try:
            conn.autocommit = autocommit  # of the client library: costs no round trip
            _begin(conn)
            yield conn
            if find_out:
                number = _number(conn)
        except BaseException as error:
            _roll_back(conn)
            if named := _named(error, unknown=autocommit):
                raise named from error
            raise
        try:
            conn.commit()
        except BaseException as error:
            _roll_back(conn)
            if number is None or not _was_lost(error) or not _happened(number):
                if named := _named(error, unknown=True):
                    raise named from error
                raise
        accounts = _told.pop(conn, None)
    finally:
        _told.pop(conn, None)
        _asked.pop(conn, None)
        connections.putconn(conn)
    if wake:
        _tell(accounts)


def _begin(conn: Linked) -> None:
    """What has to be said before a transaction's own statements, if anything."""
    limit = _patience.get()
    if conn.behind_pooler:
        conn.begin(**({} if limit is None else {"lock_timeout": f"{limit}ms"}))
    elif limit is not None and not conn.autocommit:
        conn.execute(f"set local lock_timeout = {limit}", prepare=False)


def _was_lost(error: BaseException) -> bool:
    return isinstance(error, psycopg.OperationalError) and not failures.is_certain(error)


def _named(error: BaseException, *, unknown: bool) -> DomainError | None:
    """What an error means. `unknown`: the statement under way may have taken effect if its answer was lost."""
    if unknown and _was_lost(error):
        return CommitUnknown("the answer of the database was lost; it may have been done")
    return failures.named(error)


def _number(conn: Connection[Any]) -> Number:
    asked = _asked.get(conn)
    known = read_number(asked) if asked is not None else None
    # What was asked before anything was written says nothing of what came after it.
    return known if known is not None and known.transaction is not None else read_number(ask_number(conn))


def _happened(number: Number) -> bool:
    """Whether a transaction was committed. Raises Unavailable where it was not, CommitUnknown where nobody can say."""
    if number.transaction is None:
        return True  # there was nothing to commit
    end = time.monotonic() + FIND_OUT_SECONDS
    while True:
        try:
            with apart() as conn:
                status = _status(conn, number, end)
            break
        except psycopg.Error:
            status = None
            if time.monotonic() >= end:
                break
            time.sleep(0.2)
    log.warning("the answer to a COMMIT was lost: it was %s", status or "not to be found out")
    if status == "aborted":
        raise Unavailable("the database went away, and nothing was done; try again soon")
    return status == "committed"


def _status(conn: Linked, number: Number, end: float) -> str | None:
    late = time.monotonic() + LATE_SECONDS
    while True:
        with transaction_on(conn):
            if read_number(ask_number(conn)).timeline != number.timeline:
                return None
            row = conn.execute("select pg_xact_status(%s::xid8)", [number.transaction]).fetchone()
        status: str | None = row[0] if row else None
        if status != "in progress" or time.monotonic() >= end:
            return status
        if time.monotonic() >= late:
            # Its COMMIT is still on its way, from a connection that we have given up: it must not arrive after we have
            # answered, and its locks are in everybody's way. One that is being committed is not `idle`, and is let be.
            conn.execute(
                """select pg_terminate_backend(pid) from pg_stat_activity
                    where backend_xid = %s::xid8::xid and state like 'idle in transaction%%'""",
                [number.transaction],
            )
        time.sleep(0.05)


@contextmanager
def apart(*, lock_timeout: str = "500ms", statement_timeout: str = "2s") -> Iterator[Linked]:
    """A connection outside the pool, on which each statement is a transaction: for questions that must not wait behind
    anybody. Raises psycopg's own errors.
    """
    conn = Linked.connect(
        wanted=connecting.wanted(lock_timeout=lock_timeout, statement_timeout=statement_timeout), autocommit=True
    )
    try:
        yield conn
    finally:
        conn.close()


def reach() -> None:
    """Find out whether there is a database that lets us in. Raises DatabaseAway, which says why not."""
    connecting.connect(connecting.wanted(lock_timeout="500ms", statement_timeout="2s")).close()


@contextmanager
def transaction_on(conn: Linked) -> Iterator[None]:
    """One transaction on a connection that is apart. Raises psycopg's own errors."""
    if not conn.behind_pooler:
        with conn.transaction():
            yield
        return
    conn.begin()
    try:
        yield
        conn.commit()
    except BaseException:
        _roll_back(conn)
        raise


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
        event.listen(_engine, "begin", with_settings)
    return _engine


def with_settings(opened: sqlalchemy.Connection) -> None:
    """Give a transaction that SQLAlchemy begins its settings, where the session cannot have them."""
    conn = opened.connection.driver_connection
    if isinstance(conn, Linked) and conn.behind_pooler:
        opened.exec_driver_sql(connecting.local(conn.wanted))


def _for_session() -> Linked:
    conn = take(pool())
    conn.autocommit = False  # the last user may have been `single`
    return conn


@contextmanager
def session() -> Iterator[Session]:
    """An SQLModel session for cold reads and simple writes; committed at the end of the block. Raises as `transaction`."""
    committing = False
    try:
        with Session(engine(), expire_on_commit=False) as opened:
            yield opened
            committing = True
            opened.commit()
    except DBAPIError as error:
        if error.orig is not None and (named := _named(error.orig, unknown=committing)):
            raise named from error
        raise
