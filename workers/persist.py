"""A write that is repeated until the database has answered: for what only this process knows.

What is written is fenced (by the claim's token, or by the attempt's phase), so that a repeat after an answer that was
lost changes nothing twice, and one that finds no row was made before or is void.
"""

import logging
import random
import time
from collections.abc import Callable
from typing import Any, TypeVar

import psycopg
from psycopg import Connection

from common.errors import Busy, Unavailable
from models.db import CommitUnknown, transaction

log = logging.getLogger(__name__)

T = TypeVar("T")

FIRST_PAUSE, LONGEST_PAUSE = 0.05, 2.0  # seconds
# SQLSTATE classes that say nothing against the statement: connection, state (a read-only server), rollback, resources,
# not now, operator, system.
PASSING = ("08", "25", "40", "53", "55", "57", "58")


def is_passing(error: BaseException) -> bool:
    """Whether the same write may succeed later, or may have succeeded."""
    if isinstance(error, Busy | Unavailable | CommitUnknown | psycopg.InterfaceError):
        return True
    if not isinstance(error, psycopg.Error):
        return False
    return error.sqlstate is None or error.sqlstate.startswith(PASSING)


def persist(write: Callable[[Connection[Any]], T]) -> T:
    """Do a write of one statement, again and again until it is answered. Raises what no repeat would mend."""
    pause = FIRST_PAUSE
    while True:
        try:
            with transaction(autocommit=True) as conn:
                return write(conn)
        except Exception as error:
            if not is_passing(error):
                raise
            log.warning("the database does not answer, a write is repeated: %s", error)
        time.sleep(random.uniform(pause / 2, pause))  # noqa: S311 - no secret: waits that do not come all at once
        pause = min(pause * 2, LONGEST_PAUSE)
