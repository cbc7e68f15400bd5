"""The provider's own record of what it was asked and what it charged: the ground truth that the fault tests read.

A small SQLite file, appended to by any number of processes. It stands for the far side, so it is never part of our
own transactions.
"""

import json
import os
import sqlite3
import time
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, NamedTuple

_SCHEMA = """
create table if not exists calls (at real, kind text, idempotency_key text, provider_job_id text, pid integer);
create table if not exists generations (
  provider_job_id text primary key, idempotency_key text unique, request text, started_at real, ready_at real,
  charged_usd_micros integer, state text);
"""


class Generation(NamedTuple):
    """One generation as the provider knows it. `state`: running, canceled or failed."""

    provider_job_id: str
    idempotency_key: str
    request: dict[str, Any]
    started_at: float
    ready_at: float
    charged_usd_micros: int
    state: str


class Book:
    """A book at a path."""

    def __init__(self, path: str | Path) -> None:
        self._path = Path(path)
        self._path.parent.mkdir(parents=True, exist_ok=True)
        with self._open() as connection:
            connection.executescript(_SCHEMA)

    @contextmanager
    def _open(self) -> Iterator[sqlite3.Connection]:
        with closing(sqlite3.connect(self._path, timeout=30, isolation_level=None)) as connection:
            connection.execute("pragma journal_mode = wal")
            connection.execute("pragma synchronous = off")  # it must outlive processes, not the machine
            yield connection

    def call(self, kind: str, idempotency_key: str | None, provider_job_id: str | None = None) -> None:
        """Note that we were asked something."""
        with self._open() as connection:
            connection.execute(
                "insert into calls values (?, ?, ?, ?, ?)",
                [time.time(), kind, idempotency_key, provider_job_id, os.getpid()],
            )

    def begin(self, key: str, request: Mapping[str, Any], ready_seconds: float, charged: int, state: str) -> Generation:
        """Begin a generation, or find the one that this key began before."""
        with self._open() as connection:
            now = time.time()
            connection.execute(
                "insert or ignore into generations values (?, ?, ?, ?, ?, ?, ?)",
                ["sketch-" + key, key, json.dumps(dict(request)), now, now + ready_seconds, charged, state],
            )
        found = self.find(key=key)
        assert found is not None  # noqa: S101 - written just above
        return found

    def find(self, *, key: str | None = None, provider_job_id: str | None = None) -> Generation | None:
        """A generation, by our key or by the provider's id."""
        with self._open() as connection:
            row = connection.execute(
                "select * from generations where idempotency_key = ? or provider_job_id = ?", [key, provider_job_id]
            ).fetchone()
        return Generation(row[0], row[1], json.loads(row[2]), *row[3:]) if row else None

    def cancel(self, provider_job_id: str) -> None:
        with self._open() as connection:
            connection.execute("update generations set state = 'canceled' where provider_job_id = ?", [provider_job_id])

    def generations(self) -> list[Generation]:
        """All generations, oldest first."""
        with self._open() as connection:
            rows = connection.execute("select * from generations order by started_at").fetchall()
        return [Generation(row[0], row[1], json.loads(row[2]), *row[3:]) for row in rows]

    def starts_per_key(self) -> dict[str, int]:
        """How often each of our keys was asked to start: never more than once, if nothing is paid twice."""
        with self._open() as connection:
            rows = connection.execute(
                "select idempotency_key, count(*) from calls where kind = 'start' group by 1"
            ).fetchall()
        return dict(rows)

    def failures_of(self, job: str) -> int:
        """How many generations of a job (our keys are `<job>:<attempt>`) have failed."""
        with self._open() as connection:
            row = connection.execute(
                "select count(*) from generations where idempotency_key like ? and state = 'failed'", [job + ":%"]
            ).fetchone()
        return int(row[0])
