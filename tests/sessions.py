"""This process's connections to the database that is lent to its tests: the next test goes on with those of the last.

A new session costs 15 ms of a core, its start and what it reads of a hundred tables before it can plan anything, and a
test has one or more. Kept is only what a new pool would be like: all of its sessions idle, of the usual size and settings.
What a test says to a session (`set`, a lock, a temporary table) is taken back; a test that wants new ones closes the
pool as a process does (`db.close()`), and one that only sets other settings than those below goes on with these.
"""

import os

from psycopg.conninfo import conninfo_to_dict
from psycopg.pq import ExecStatus
from psycopg_pool import ConnectionPool

from common.settings import Settings
from models import db
from models.connecting import Linked
from tests.support import eventually

# Settings of our own that a session, or the pool, has from its start.
_OF_SESSIONS = ("DATABASE_POOLER", "DATABASE_POOL_SIZE", "CLOCK_OFFSET_SECONDS")
_SIZE: int = Settings.model_fields["database_pool_size"].default
_OFFSET = f"{Settings.model_fields['clock_offset_seconds'].default}s"
_SECONDS = db.GETTING_SECONDS
_RESET = (
    b"reset session authorization; reset role; reset all; select pg_advisory_unlock_all(); close all; unlisten *; discard temp; "
    b"discard sequences"
)


class Sessions:
    """The pool of one database, in use or laid aside."""

    def __init__(self) -> None:
        self._url: str | None = None
        self._pool: ConnectionPool[Linked] | None = None

    def belong_to(self, url: str | None) -> None:
        """Keep those to this database from now on, and no others."""
        if url != self._url:
            if self._pool is not None:
                self._pool.close()
            self._url, self._pool = url, None

    def lay_aside(self) -> None:
        """Take the process's pool away from it, if it is one to keep; the caller closes it otherwise."""
        pool = db._pool
        if pool is None or self._url is None or not _is_usual(pool) or not all(map(self._is_one, pool._pool)):
            return
        if self._pool is not None and self._pool is not pool:
            self._pool.close()
        self._pool, db._pool = pool, None

    def take_up(self) -> None:
        """Give the process its pool back, if that is the one it would make."""
        usual = db._size in {None, _SIZE} and not any(os.environ.get(name) for name in _OF_SESSIONS)
        kept = self._pool if os.environ.get("DATABASE_URL") == self._url else None
        if usual and kept is not None and not kept.closed and db._pool is None:
            db._pool = kept

    def reset(self) -> list[int]:
        """Take back what was said to those that are laid aside. Returns their processes' numbers."""
        pool = self._pool
        if pool is None or pool.closed or not _is_usual(pool):
            return []
        if not all(conn.pgconn.exec_(_RESET).status in _DONE for conn in pool._pool):
            self._drop()
            return []
        return [conn.info.backend_pid for conn in pool._pool]

    def _drop(self) -> None:
        if self._pool is not None:
            self._pool.close()
            self._pool = None

    def _is_one(self, conn: Linked) -> bool:
        """Whether a connection leads straight to the database, and is still there."""
        to = conninfo_to_dict(self._url or "")
        info = conn.info
        straight = (info.dbname, info.host, str(info.port)) == (to["dbname"], to["host"], str(to["port"]))
        return straight and not conn.behind_pooler and not db._is_stale(conn)


def shift(offset: str) -> None:
    """Shift app_now() in the sessions of this process, none of which is in use, and in those that it makes from now on: new
    ones would have to read and plan everything again.
    """
    with db.transaction():
        pool = db.pool()
    eventually(lambda: not pool._growing and len(pool._pool) == pool._nconns, what="rest")
    assert isinstance(pool.kwargs, dict)
    pool.kwargs["wanted"]["app.clock_offset"] = offset
    for conn in pool._pool:
        assert conn.pgconn.exec_(f"set app.clock_offset = '{offset}'".encode()).status == ExecStatus.COMMAND_OK


_DONE = {ExecStatus.COMMAND_OK, ExecStatus.TUPLES_OK}


def _is_usual(pool: ConnectionPool[Linked]) -> bool:
    """Whether all of a pool's connections are there, and it is as one that is made without anybody's say."""
    wanted = pool.kwargs["wanted"] if isinstance(pool.kwargs, dict) else {}
    as_ever = (pool.max_size, pool.timeout, wanted.get("app.clock_offset")) == (_SIZE, _SECONDS, _OFFSET)
    return as_ever and not pool.closed and not pool._growing and 0 < len(pool._pool) == pool._nconns
