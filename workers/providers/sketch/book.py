"""The provider's own record of what it was asked and what it charged: the ground truth that the fault tests read.

A small SQLite file, written by any number of processes. It stands for the far side, so it is never part of our own
transactions. Nothing in it is ever taken back: a generation's row only moves on from running to canceled or failed.
"""

import json
import os
import sqlite3
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, Literal, NamedTuple

WAIT_SECONDS = 30.0  # for other writers
CallKind = Literal["start", "poll", "cancel", "lookup"]
CallState = Literal["running", "canceled", "failed"]

_SCHEMA = """
create table if not exists calls (at real, kind text, idempotency_key text, provider_job_id text, pid integer);
create table if not exists generations (
  provider_job_id text primary key, idempotency_key text unique, request text, started_at real, ready_at real,
  charged_usd_micros integer, state text, error text);
create table if not exists refusals (idempotency_key text primary key);
"""


class Call(NamedTuple):
    """One question that we were asked. Times are seconds since 1970."""

    at: float
    kind: CallKind
    idempotency_key: str | None
    provider_job_id: str | None
    pid: int


class Generation(NamedTuple):
    """One generation as the provider knows it. `state`: running (and from `ready_at` on done), canceled or failed."""

    provider_job_id: str
    idempotency_key: str
    request: dict[str, Any]
    started_at: float
    ready_at: float
    charged_usd_micros: int
    state: CallState
    error: str | None  # of a failure that the route's options did not ask for, as "code: message"


class Book:
    """A book at a path."""

    def __init__(self, path: str | Path) -> None:
        self._path = Path(path)
        self._path.parent.mkdir(parents=True, exist_ok=True)
        end = time.monotonic() + WAIT_SECONDS
        while True:
            try:
                with self._open() as connection:
                    connection.execute("pragma journal_mode = wal")  # stays with the file
                    connection.executescript(_SCHEMA)
            except sqlite3.OperationalError:
                # Many processes that open a new book at once: this pragma does not wait for its turn as writes do.
                if time.monotonic() > end:
                    raise
                time.sleep(0.02)
            else:
                return

    @contextmanager
    def _open(self) -> Iterator[sqlite3.Connection]:
        # One connection per question: threads and forked processes may share a Book.
        with closing(sqlite3.connect(self._path, timeout=WAIT_SECONDS, isolation_level=None)) as connection:
            connection.execute("pragma synchronous = off")  # it must outlive processes, not the machine
            yield connection

    def _write(self, statement: str, values: Sequence[Any]) -> None:
        with self._open() as connection:
            connection.execute(statement, values)

    def _rows(self, statement: str, values: Sequence[Any] = ()) -> list[Any]:
        with self._open() as connection:
            return connection.execute(statement, values).fetchall()

    # Written by the provider

    def call(self, kind: CallKind, idempotency_key: str | None, provider_job_id: str | None = None) -> None:
        """Note that we were asked something."""
        self._write(
            "insert into calls values (?, ?, ?, ?, ?)",
            [time.time(), kind, idempotency_key, provider_job_id, os.getpid()],
        )

    def begin(self, key: str, request: Mapping[str, Any], ready_seconds: float, charged: int, state: CallState) -> Generation:  # fmt: skip
        """Begin a generation, or find the one that this key began before."""
        now = time.time()
        self._write(
            "insert or ignore into generations values (?, ?, ?, ?, ?, ?, ?, null)",
            ["sketch-" + key, key, json.dumps(dict(request), default=repr), now, now + ready_seconds, charged, state],
        )
        found = self.find(key=key)
        assert found is not None  # noqa: S101 - written just above
        return found

    def refuse(self, key: str) -> None:
        """Note that we had no room for a generation; it never began."""
        self._write("insert or ignore into refusals values (?)", [key])

    def cancel(self, provider_job_id: str) -> None:
        """Stop a generation, unless it has failed or is ready: then it is too late."""
        self._write(
            """update generations set state = 'canceled'
               where provider_job_id = ? and state = 'running' and ready_at > ?""",
            [provider_job_id, time.time()],
        )

    def fail(self, provider_job_id: str, charged_usd_micros: int, error: str | None = None) -> None:
        """A generation that had begun has failed, and costs so much after all."""
        self._write(
            """update generations set state = 'failed', charged_usd_micros = ?, error = ?
               where provider_job_id = ? and state = 'running'""",
            [charged_usd_micros, error, provider_job_id],
        )

    # Read by the provider and by tests

    def find(self, *, key: str | None = None, provider_job_id: str | None = None) -> Generation | None:
        """A generation, by our key or by the provider's id."""
        rows = self._rows(
            "select * from generations where idempotency_key = ? or provider_job_id = ?", [key, provider_job_id]
        )
        return _generation(rows[0]) if rows else None

    def failures_of(self, job: str) -> int:
        """How many attempts of a job (our keys are `<job>:<attempt>`) have failed or were turned away."""
        like = [len(job) + 1, job + ":"]
        return int(
            self._rows(
                """select (select count(*) from generations where substr(idempotency_key, 1, ?) = ? and state = 'failed')
                        + (select count(*) from refusals where substr(idempotency_key, 1, ?) = ?)""",
                [*like, *like],
            )[0][0]
        )

    def generations(self) -> list[Generation]:
        """All generations, oldest first."""
        return [_generation(row) for row in self._rows("select * from generations order by started_at, rowid")]

    def calls(self, kind: CallKind | None = None) -> list[Call]:
        """All questions of a kind, or of all kinds, oldest first."""
        return [Call(*row) for row in self._rows("select * from calls order by rowid") if kind in {None, row[1]}]

    def starts_per_key(self) -> dict[str, int]:
        """How often each of our keys was asked to start: never more than once, if nothing is paid twice."""
        return dict(self._rows("select idempotency_key, count(*) from calls where kind = 'start' group by 1"))

    def charged_usd_micros(self) -> int:
        """What all generations cost together."""
        return int(self._rows("select coalesce(sum(charged_usd_micros), 0) from generations")[0][0])


def _generation(row: Any) -> Generation:
    return Generation(row[0], row[1], json.loads(row[2]), *row[3:])
