"""A duty's work on many things, each by itself: one that fails, or whose account is locked, harms no other."""

import logging
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Self, TypeVar
from uuid import UUID

from psycopg import Connection

from common.errors import Busy, Unavailable
from models.db import CommitUnknown, patience, transaction
from models.locks import lock_account

log = logging.getLogger(__name__)

Thing = TypeVar("Thing")

MAX_ASIDE = 20_000
FIRST_REST, LONGEST_REST = 1.0, 60.0
PATIENCE_MS, LEAST_PATIENCE_MS = 300, 10


class Did(int):
    """How much a batch did. `more`: what it picked was full, so there may be more. `errors`: what went wrong."""

    more: bool
    errors: tuple[str, ...]

    def __new__(cls, done: int, *, more: bool = False, errors: Sequence[str] = ()) -> Self:
        made = super().__new__(cls, done)
        made.more, made.errors = more, tuple(errors)
        return made


class Aside:
    """What failed lately, or could not be done: the next picks leave it out, for growing pauses, so that nobody waits
    behind it. Kept by each process for itself; forgotten with it.
    """

    def __init__(self) -> None:
        self._until: dict[UUID, tuple[float, float]] = {}  # when it may be tried again, and how long it rested
        self._lock = threading.Lock()

    def ids(self) -> list[UUID]:
        """What rests now."""
        now = time.monotonic()
        with self._lock:
            return [each for each, (until, _) in self._until.items() if until > now]

    def rest(self, thing: UUID) -> None:
        """Leave a thing out for a while; for longer, the more often in a row."""
        with self._lock:
            before = self._until.pop(thing, (0.0, 0.0))[1]
            pause = min(LONGEST_REST, before * 2 or FIRST_REST)
            self._until[thing] = time.monotonic() + pause, pause
            if len(self._until) > MAX_ASIDE:  # the one that came first may come again
                del self._until[next(iter(self._until))]

    def well(self, thing: UUID) -> None:
        """It was done: nothing is held against it."""
        if self._until:
            with self._lock:
                self._until.pop(thing, None)


class Patience:
    """How long a batch waits for locks: less with each that it did not get, so that many locked accounts cost seconds."""

    def __init__(self) -> None:
        self._milliseconds = PATIENCE_MS

    @contextmanager
    def locked(self, account_id: UUID) -> Iterator[Connection[Any]]:
        """A transaction that holds an account's lock. Raises Busy."""
        try:
            with patience(self._milliseconds), transaction() as conn:
                lock_account(conn, account_id)
                yield conn
        except Busy:
            self._milliseconds = max(LEAST_PATIENCE_MS, self._milliseconds // 2)
            raise


def each(
    aside: Aside, picked: Sequence[Thing], act: Callable[[Thing, Patience], int], *, of: Callable[[Thing], UUID]
) -> Did:
    """Act on each thing that was picked; `of` names it for `aside`.

    What is locked, or has nothing done, is tried at a later turn. Raises Unavailable and CommitUnknown: a database that
    is away is not waited for again and again.
    """
    done, errors, patience = 0, list[str](), Patience()
    for thing in picked:
        name = of(thing)
        try:
            did = act(thing, patience)
        except (Unavailable, CommitUnknown):
            raise
        except Busy:
            log.info("%s is locked; it is tried at a later turn", name)
            did = 0
        except Exception as error:
            log.exception("%s failed; the others go on", name)
            errors.append(f"{name}: {type(error).__name__}: {error}"[:200])
            did = 0
        done += did
        if did:
            aside.well(name)
        else:
            aside.rest(name)
    # Look again until nothing is picked: what was done is gone, and the rest is aside.
    return Did(done, more=bool(picked), errors=errors)
