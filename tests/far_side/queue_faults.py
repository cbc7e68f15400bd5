"""How a far side with a queue misbehaves, told request by request or drawn from a seed, and the book it keeps.

A plan as JSON, for a far side in its own process: `{"rules": [{"kind": "limited", "path": "/status", "times": 2,
"retry_after": 1}], "seed": 7, "share": {"lose": 0.05, "error": 0.1}, "per_key": 2, "seconds": 3}`
"""

import hashlib
import json
import sqlite3
import threading
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

NOTHING_BEGAN = {
    "limited",  # 429, with Retry-After if `retry_after` is given
    "error",  # `status`
    "drop",  # the connection closes without an answer
    "stall",  # no answer for `seconds`, then the connection closes
    "missing",  # 404, of a result's address only: it is not there yet
    "forbidden",  # 403, likewise
}
FILES_ONLY = {"missing", "forbidden"}
WHOLE = {"slow", "wrong_type", "twice", "late", "truncated"}  # what was said has left all the same
BEGAN = {
    "lose",  # it was done, and the connection closes without an answer
    "slow",  # the answer trickles for `seconds`
    "cut",  # the answer breaks off half-way
    "truncated",  # the picture that is fetched ends too soon, under a right length
    "wrong_type",  # the right bytes under another content type
    "twice",  # of a start: its call back comes twice
    "late",  # of a start: its result comes `seconds` later than the script says
}


@dataclass(frozen=True, slots=True)
class Fault:
    """`method` and `path` (a part of it) say to what, `times` how often."""

    kind: str
    times: int = 1
    method: str = ""
    path: str = ""
    status: int = 500
    retry_after: float | None = None
    seconds: float = 3.0

    def __post_init__(self) -> None:
        if self.kind not in NOTHING_BEGAN | BEGAN:
            raise ValueError(f"no fault {self.kind!r}")


@dataclass(slots=True)
class Faults:
    """Rules go first, in their order. Then `share` gives each kind its part of the requests, drawn from the seed, the
    request's key and how often it came: not from the clock or from which request came first. After `per_key` faults a
    key is left alone, so that every job can end. Thread-safe.
    """

    rules: list[Fault] = field(default_factory=list)
    seed: int = 0
    share: Mapping[str, float] = field(default_factory=dict)
    per_key: int = 2
    seconds: float = 3.0
    retry_after: float | None = 0.2
    _used: Counter[int] = field(default_factory=Counter)
    _seen: Counter[str] = field(default_factory=Counter)
    _faulted: Counter[str] = field(default_factory=Counter)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    @classmethod
    def load(cls, text: str) -> "Faults":
        plain = json.loads(text or "{}")
        for kind in plain.get("share", {}):
            Fault(kind)  # raises for one that there is not
        return cls(rules=[Fault(**rule) for rule in plain.pop("rules", [])], **plain)

    def add(self, kind: str, **fields: Any) -> None:
        """Misbehave once more (or `times` times)."""
        with self._lock:
            self.rules.append(Fault(kind, **fields))

    def choose(self, method: str, path: str, key: str) -> Fault | None:
        """What goes wrong with this request, if anything."""
        with self._lock:
            for number, rule in enumerate(self.rules):
                fits = rule.method in {"", method} and rule.path in path
                if fits and self._used[number] < rule.times:
                    self._used[number] += 1
                    return rule
            return self._drawn(f"{method} {key}", path)

    def _drawn(self, who: str, path: str) -> Fault | None:
        self._seen[who] += 1
        if not self.share or self._faulted[who] >= self.per_key:
            return None
        digest = hashlib.sha256(f"{self.seed} {who} {self._seen[who]}".encode()).digest()
        chance = int.from_bytes(digest[:8]) / 2**64
        for kind, part in self.share.items():
            if chance < part:
                if kind in FILES_ONLY and not path.startswith("/files/"):
                    return None
                self._faulted[who] += 1
                return Fault(kind, seconds=self.seconds, retry_after=self.retry_after)
            chance -= part
        return None


TABLES = """
create table if not exists calls (
    id integer primary key, at real not null, method text not null, path text not null, key text not null,
    fault text, headers text not null, body text not null
);
create table if not exists generations (
    id text primary key, key text not null, at real not null, late real not null default 0,
    canceled integer not null default 0, facts text not null, delivered real
);
"""


class Book:
    """What was asked, and what was begun: a generation is a start that cost money, whoever heard of it. For all threads
    and processes.
    """

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

    def call(
        self, method: str, path: str, key: str, fault: str | None, headers: Mapping[str, str], body: bytes
    ) -> None:
        self._do(
            "insert into calls (at, method, path, key, fault, headers, body) values (?, ?, ?, ?, ?, ?, ?)",
            time.time(), method, path, key, fault, json.dumps(dict(headers)), body.decode(errors="replace"),
        )  # fmt: skip

    def begin(self, generation_id: str, key: str, facts: Any, late: float = 0.0) -> bool:
        """False if it has begun before."""
        found = self._do(
            "insert into generations (id, key, at, late, facts) values (?, ?, ?, ?, ?)"
            " on conflict do nothing returning id",
            generation_id, key, time.time(), late, json.dumps(facts),
        )  # fmt: skip
        return bool(found)

    def deliver(self, generation_id: str) -> None:
        """Note that a complete answer with its result, or with the result's addresses, has left for us."""
        self._do("update generations set delivered = coalesce(delivered, ?) where id = ?", time.time(), generation_id)

    def cancel(self, generation_id: str) -> None:
        self._do("update generations set canceled = 1 where id = ?", generation_id)

    def generation(self, generation_id: str) -> dict[str, Any] | None:
        return next(iter(self._generations("where id = ?", generation_id)), None)

    def generations(self) -> list[dict[str, Any]]:
        return self._generations("")

    def starts_per_key(self) -> Counter[str]:
        """How many generations each key began: more than one is money spent twice."""
        return Counter(dict(self._do("select key, count(*) from generations group by key")))

    def calls(self, path: str = "", method: str = "") -> list[dict[str, Any]]:
        """The requests, oldest first, whose path holds `path`."""
        names = ("method", "path", "key", "fault", "headers", "body")
        rows = self._do(
            f"select {', '.join(names)} from calls where instr(path, ?1) > 0 and (?2 = '' or method = ?2) order by id",
            path, method,
        )  # fmt: skip
        return [{**dict(zip(names, row, strict=True)), "headers": json.loads(row[4])} for row in rows]

    def _generations(self, where: str, *values: Any) -> list[dict[str, Any]]:
        rows = self._do(
            f"select id, key, at, late, canceled, facts, delivered from generations {where} order by at, rowid", *values
        )
        return [
            {"id": row[0], "key": row[1], "at": row[2], "late": row[3], "canceled": bool(row[4]),
             "facts": json.loads(row[5]), "delivered": row[6] is not None}
            for row in rows
        ]  # fmt: skip
