"""What tests of verbs bring about by hand: another hour, a row as it would be after long, a lock that somebody holds."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from typing import Any

from models.db import transaction
from tests.conftest import environment
from tests.support import eventually, lock_waits

Act = Callable[[], Any]


def later(hours: float) -> AbstractContextManager[None]:
    """The database's clock goes so many hours ahead for the time of a block; below 0: it goes behind."""
    return environment({"CLOCK_OFFSET_SECONDS": str(round(hours * 3600))})


def change(statement: str, *values: Any) -> None:
    """Bring about by hand what takes too long to come about by itself."""
    with transaction() as conn:
        assert conn.execute(statement, list(values)).rowcount > 0, f"changed nothing: {statement}"


def while_locked(statement: str, values: list[Any], act: Act, meanwhile: Callable[[Any], object] | None = None) -> Any:
    """What `act` comes to, begun while another transaction holds what the statement locks; `meanwhile` happens in that
    one before it commits.
    """
    with ThreadPoolExecutor(1) as thread:
        with transaction() as other:
            other.execute(statement, values)
            asked = thread.submit(act)
            eventually(lambda: lock_waits() == 1, what="the wait for the lock")
            if meanwhile is not None:
                meanwhile(other)
        return asked.result(timeout=10)
