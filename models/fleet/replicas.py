"""Reads that a replica may answer: lists, searches, use, pages for operators.

What was written is seen, whoever wrote it, here or elsewhere: the primary is asked how far its log had come when the read
began, and the replica is read once it has replayed as much. It is one short question to the primary for each long one that it is
spared. Rejected: to remember where an account wrote last, per process (another process wrote), in Redis (which may lose it),
or with the client (who would have to send it along).

A replica that does not answer or lags is left alone for a while, and the primary is read.
"""

import logging
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import psycopg
from psycopg import Connection, errors
from psycopg_pool import ConnectionPool

from common.rest import Rest
from common.settings import settings
from models import connecting, db, failures
from models.connecting import Linked

log = logging.getLogger(__name__)

REST_SECONDS = 2.0
PAUSES = (0.001, 0.002, 0.004, 0.008, 0.016)  # between looks at how far it is; then the last again and again
# Null where it is no replica (any more): what it says then is nothing that another server's position can be compared with.
_BEHIND = "select pg_is_in_recovery() and pg_last_wal_replay_lsn() >= '{}'::pg_lsn"


class _Replica:
    """One process's connections to it, how many of them are out, and whether it is left alone for a while."""

    def __init__(self, address: str) -> None:
        self._lock = threading.Lock()
        self._out = 0
        self._rest = Rest(REST_SECONDS)
        self.pool = ConnectionPool(
            connection_class=Linked, name="replica", min_size=0, max_size=settings().database_pool_size, max_idle=300.0,
            kwargs={
                "wanted": connecting.wanted(lock_timeout="2s", statement_timeout="10s"), "address": address, "autocommit": True,
            },
            open=True, reconnect_timeout=db.GETTING_SECONDS,
        )  # fmt: skip

    @property
    def resting(self) -> bool:
        return self._rest.is_on

    def take(self, end: float) -> Linked | None:
        """A connection; None: all are out. Raises psycopg.OperationalError where none can be made."""
        try:
            conn = db.take(self.pool, end - time.monotonic())
        except psycopg.OperationalError:
            if self._out >= self.pool.max_size:
                return None
            raise
        with self._lock:
            self._out += 1
        return conn

    def give_back(self, conn: Linked) -> None:
        with self._lock:
            self._out -= 1
        self.pool.putconn(conn)

    def leave(self, why: object) -> None:
        if not self.resting:
            log.warning("the replica is left alone for %.0f s, the primary is read: %s", REST_SECONDS, why)
        self._rest.start()


_lock = threading.Lock()
_replica: _Replica | None = None


@contextmanager
def caught_up(*, snapshot: bool = False) -> Iterator[Connection[Any]]:
    """A transaction that only reads, and sees all that was committed before it; with `snapshot`, one moment in all of its statements.

    Raises what `db.transaction` does. Unavailable as well where the replica goes away in the middle; the next read is the
    primary's.
    """
    replica = _chosen()
    conn = None if replica is None or replica.resting else _taken(replica)
    if replica is None or conn is None:
        with db.snapshot() if snapshot else db.transaction() as own:
            yield own
        return
    try:
        with db.transaction_on(conn):
            if snapshot:
                conn.execute("set transaction isolation level repeatable read, read only")
            yield conn
    except psycopg.Error as error:
        if named := failures.named(error):
            if not isinstance(error, errors.QueryCanceled):  # which is slow at the primary as well
                replica.leave(error)
            raise named from error
        raise
    finally:
        replica.give_back(conn)


def _taken(replica: _Replica) -> Linked | None:
    """A connection to a replica that has caught up; None: the primary is to be read. Raises as `db.single`."""
    with db.single() as primary:
        position = _position(primary)
    end = time.monotonic() + settings().database_replica_wait_seconds
    try:
        conn = replica.take(end)
    except psycopg.OperationalError as error:
        replica.leave(error)
        return None
    if conn is None:
        return None
    try:
        if _has_replayed(conn, position, end):
            return conn
        replica.leave("it lags, or is no replica any more")
    except psycopg.Error as error:
        replica.leave(error)
    replica.give_back(conn)
    return None


class Following(NamedTuple):
    """How a replica stands."""

    is_replica: bool
    bytes_behind: int  # of the log, when it was asked


def follow() -> Following | None:
    """Look how the replica stands, in a connection of its own; None: there is to be none. Raises DatabaseAway, which says why."""
    address = settings().database_replica_url
    if address is None:
        return None
    with db.single() as primary:
        position = _position(primary)
    chosen = connecting.wanted(lock_timeout="500ms", statement_timeout="2s")
    conn = connecting.connect(chosen, address, autocommit=True)
    try:
        row = conn.execute(
            "select pg_is_in_recovery(), coalesce(pg_wal_lsn_diff(%s::pg_lsn, pg_last_wal_replay_lsn()), 0)::bigint", [position],
        ).fetchone()  # fmt: skip
    finally:
        conn.close()
    assert row is not None  # noqa: S101 - one row
    return Following(row[0], max(0, row[1]))


def _position(primary: Connection[Any]) -> str:
    """How far the log is that every acknowledged commit is in."""
    row = primary.execute("select pg_current_wal_flush_lsn()::text").fetchone()
    assert row is not None  # noqa: S101 - one row
    return str(row[0])


def _has_replayed(conn: Linked, position: str, end: float) -> bool:
    """Whether the replica has come so far by then. It is asked outside the transaction that reads: a snapshot that is taken with
    the question may be older than its answer.
    """
    pauses = iter(PAUSES)
    while conn.ask(_BEHIND.format(position), end, "the replica does not answer") != b"t":
        pause = next(pauses, PAUSES[-1])
        if time.monotonic() + pause >= end:
            return False
        time.sleep(pause)
    return True


def _chosen() -> _Replica | None:
    global _replica  # noqa: PLW0603 - one per process
    address = settings().database_replica_url
    if address is None:
        return None
    with _lock:
        if _replica is None:
            _replica = _Replica(address)
        return _replica


def _close() -> None:
    global _replica  # noqa: PLW0603 - one per process
    with _lock:
        if _replica is not None:
            _replica.pool.close()
        _replica = None


db.close_with(_close)
