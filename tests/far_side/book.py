"""What a far side was asked and what it began, in SQLite, so that other processes read the counts."""

import json
import os
import sqlite3
import threading
import time
from collections import Counter
from pathlib import Path
from typing import Any

TABLES = """
create table if not exists calls (
    id integer primary key, at real not null, pid integer not null, method text not null, path text not null,
    key text, fault text, headers text not null, body text not null
);
create table if not exists generations (
    id text primary key, key text, at real not null, state text not null default 'running', facts text not null,
    delivered real
);
create index if not exists generations_key on generations (key);
"""


class Book:
    """Safe from many threads and processes. A generation is a start that cost money, whoever heard of it."""

    def __init__(self, path: Path | str) -> None:
        self._lock = threading.Lock()
        self._db = sqlite3.connect(path, timeout=30, isolation_level=None, check_same_thread=False)
        self._db.execute("pragma journal_mode = wal")
        self._db.execute("pragma synchronous = off")
        self._db.executescript(TABLES)

    def close(self) -> None:
        with self._lock:
            self._db.close()

    def _do(self, sql: str, *values: Any) -> list[tuple[Any, ...]]:
        with self._lock:
            return self._db.execute(sql, values).fetchall()

    def call(self, method: str, path: str, key: str | None, fault: str | None, headers: Any, body: Any) -> None:
        self._do(
            "insert into calls (at, pid, method, path, key, fault, headers, body) values (?, ?, ?, ?, ?, ?, ?, ?)",
            time.time(), os.getpid(), method, path, key, fault, json.dumps(headers), json.dumps(body),
        )  # fmt: skip

    def begin(self, generation_id: str, key: str | None, facts: Any) -> None:
        self._do("insert into generations (id, key, at, facts) values (?, ?, ?, ?)",
                 generation_id, key, time.time(), json.dumps(facts))  # fmt: skip

    def end(self, generation_id: str, state: str) -> bool:
        """False if it had ended already."""
        found = self._do("update generations set state = ? where id = ? and state = 'running' returning id",
                         state, generation_id)  # fmt: skip
        return bool(found)

    def deliver(self, generation_id: str) -> None:
        """Note that a complete answer with its result, or with the result's addresses, has left for us."""
        self._do("update generations set delivered = coalesce(delivered, ?) where id = ?", time.time(), generation_id)

    def generation(self, generation_id: str) -> dict[str, Any] | None:
        found = self._do("select id, key, at, state, facts, delivered from generations where id = ?", generation_id)
        return _generation(found[0]) if found else None

    def generations(self, key: str | None = None) -> list[dict[str, Any]]:
        sql = "select id, key, at, state, facts, delivered from generations where ?1 is null or key = ?1 order by at, rowid"
        return [_generation(row) for row in self._do(sql, key)]

    def starts_per_key(self) -> Counter[str]:
        """How many generations each key began: more than one is money spent twice."""
        return Counter(dict(self._do("select key, count(*) from generations group by key")))

    def calls(self, path: str = "", method: str = "") -> list[dict[str, Any]]:
        """The requests, oldest first, whose path holds `path`."""
        rows = self._do(
            "select method, path, key, fault, headers, body from calls"
            " where instr(path, ?1) > 0 and (?2 = '' or method = ?2) order by id",
            path, method,
        )  # fmt: skip
        names = ("method", "path", "key", "fault", "headers", "body")
        return [
            {**dict(zip(names, row, strict=True)), "headers": json.loads(row[4]), "body": json.loads(row[5])}
            for row in rows
        ]


def _generation(row: tuple[Any, ...]) -> dict[str, Any]:
    return {
        "id": row[0], "key": row[1], "at": row[2], "state": row[3], "facts": json.loads(row[4]),
        "delivered": row[5] is not None,
    }  # fmt: skip
