"""How the business stands this minute, for who watches it: read rarely, by one process, whoever looks and however often.

Each question costs by what is alive, by the accounts that wait to be told, or by the jobs or payments of a day, and has two
seconds; one that takes longer is left out until the next time.
"""

import logging
import threading
import time
from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Any, NamedTuple, TypeVar

import psycopg
from psycopg import Connection

from common.errors import DomainError
from models.db import snapshot
from models.events import sending
from models.fleet import processes
from models.jobs import queues
from models.jobs.queues import QueueRow

log = logging.getLogger(__name__)

FRESH_SECONDS = 15.0
SLOW_FRESH_SECONDS = 300.0  # of what costs by the jobs of a day
QUESTION_SECONDS = 2
SPAN = timedelta(days=1)

_Answer = TypeVar("_Answer")


class Now(NamedTuple):
    """What is read together."""

    queues: Sequence[QueueRow]
    duties: Sequence[
        tuple[str, float, bool]
    ]  # name, seconds by which it is overdue, whether its last turn met an error
    threads: Sequence[tuple[str, int]]  # of workers that are heard of: wanted, alive, busy
    receivers_late_seconds: float | None
    reserved: int | None


class Today(NamedTuple):
    """What is read less often: of the last day."""

    active: Sequence[tuple[str, int]]  # accounts that ordered something, by plan
    payments: Sequence[tuple[str, int]]  # by where their money is


class Business:
    """The last answers. Thread-safe: who comes while they are read waits for them."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._now: Now | None = None
        self._today: Today | None = None
        self._now_until = self._today_until = 0.0
        self.seconds = 0.0  # that the last reading took

    def now(self) -> Now:
        """As it was at most `FRESH_SECONDS` ago."""
        with self._lock:
            if self._now is None or self._clock() >= self._now_until:
                begun = time.monotonic()
                self._now = read_now()
                self.seconds = time.monotonic() - begun
                self._now_until = self._clock() + FRESH_SECONDS
            return self._now

    def today(self) -> Today:
        """As it was at most `SLOW_FRESH_SECONDS` ago."""
        with self._lock:
            if self._today is None or self._clock() >= self._today_until:
                self._today = read_today()
                self._today_until = self._clock() + SLOW_FRESH_SECONDS
            return self._today


def read_now() -> Now:
    """Ask the database. What cannot be had is empty."""
    found_queues = _asked(queues.read_queues) or []
    found_duties = _asked(processes.duties) or []
    found_workers = [each for each in _asked(processes.workers) or [] if each["silent_seconds"] < 60]
    late = _asked(sending.overdue)
    threads = [
        (state, sum(int(each[name]) for each in found_workers))
        for state, name in (("wanted", "threads"), ("alive", "threads_alive"), ("busy", "busy"))
    ]
    return Now(
        found_queues,
        [(each["name"], float(each["overdue_seconds"]), bool(each["error"])) for each in found_duties],
        threads,
        late[1] if late else None,
        _asked(reserved),
    )


def read_today() -> Today:
    """Ask the database. What cannot be had is empty."""
    return Today(_asked(active_accounts) or [], _asked(payments) or [])


def reserved(conn: Connection[Any]) -> int:
    """Credits that living jobs hold."""
    row = conn.execute(
        "select coalesce(sum(j.price_credits), 0)::bigint from job_runs r join jobs j on j.id = r.job_id"
    ).fetchone()
    return int(row[0]) if row else 0


def active_accounts(conn: Connection[Any]) -> list[tuple[str, int]]:
    """Accounts that ordered a job in the last day, by their plan. Ids begin with their time, so it costs by the day."""
    return conn.execute(
        f"""select a.plan_id, count(*) from (select distinct account_id from jobs where id >= {_SINCE}) j
              join accounts a on a.id = j.account_id group by 1 order by 2 desc limit 100""",
        [SPAN],
    ).fetchall()


def payments(conn: Connection[Any]) -> list[tuple[str, int]]:
    """Payments that were ordered in the last day, by where their money is."""
    return conn.execute(f"select money, count(*) from payments where id >= {_SINCE} group by 1", [SPAN]).fetchall()


# The smallest UUIDv7 of a moment: its milliseconds, then nothing.
_SINCE = """(lpad(to_hex((extract(epoch from app_now() - %s) * 1000)::bigint), 12, '0') || repeat('0', 20))::uuid"""


def _asked(question: Callable[[Connection[Any]], _Answer]) -> _Answer | None:
    try:
        with snapshot() as conn:
            conn.execute(f"set local statement_timeout = '{QUESTION_SECONDS}s'")
            return question(conn)
    except (psycopg.Error, DomainError) as error:
        log.warning("how the business stands is not known: %s", error)
        return None
