"""A thread that holds a connection of the pool and asks for another waits for itself as soon as enough do it at once: all
hold one, nobody gives one back, and after five seconds each is told that the database is away.

So it is refused in tests, however few are at it: to the product always, and to a test in threads. What a test asks for in
its main thread in the midst of a transaction of its own is no fault, nor is what it has the product do there.
"""

import contextlib
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from types import FrameType
from typing import Any, NamedTuple
from unittest.mock import patch

from psycopg_pool import ConnectionPool

from models import db
from models.connecting import Linked

TESTS = str(Path(__file__).parent)
_PASSED = {db.__file__, contextlib.__file__, __file__}  # what is between somebody and what they ask for


class Holder(NamedTuple):
    """Who has taken a connection. `test`: the call of a test that they were at."""

    place: str
    test: FrameType | None
    is_test: bool


class _Held(threading.local):
    def __init__(self) -> None:
        self.by_connection: dict[int, Holder] = {}


def _asker() -> Holder:
    frame: FrameType | None = sys._getframe(1)
    while frame is not None and frame.f_code.co_filename in _PASSED:
        frame = frame.f_back
    assert frame is not None
    place, is_test = f"{frame.f_code.co_filename}:{frame.f_lineno}", frame.f_code.co_filename.startswith(TESTS)
    test: FrameType | None = frame
    while test is not None and not test.f_code.co_filename.startswith(TESTS):
        test = test.f_back
    return Holder(place, test, is_test)


def _is_refused(holder: Holder, asker: Holder) -> bool:
    if threading.current_thread() is not threading.main_thread():
        return True
    return not holder.is_test and holder.test is asker.test


@contextlib.contextmanager
def one_connection_a_thread() -> Iterator[None]:
    """For the time of a block, whoever asks for a second connection while they hold one is refused."""
    held, take, put = _Held(), db.take, ConnectionPool.putconn

    def take_one(pool: ConnectionPool[Linked], *given: Any) -> Linked:
        if pool is not db._pool:
            return take(pool, *given)  # a replica's: whoever finds none free reads the primary
        asker = _asker()
        for holder in held.by_connection.values():
            assert not _is_refused(holder, asker), (
                f"{holder.place} holds a connection, and {asker.place} asks for another"
            )
        conn = take(pool, *given)
        held.by_connection[id(conn)] = asker
        return conn

    def give_back(pool: ConnectionPool[Any], conn: Any) -> None:
        held.by_connection.pop(id(conn), None)
        put(pool, conn)

    with patch.object(db, "take", take_one), patch.object(ConnectionPool, "putconn", give_back):
        yield
