"""How a far side misbehaves: told request by request, or by a seeded plan that is the same in every run.

A plan as JSON, for servers in their own process:
`{"rules": [{"kind": "limited", "path": "/images", "times": 2, "retry_after": 1}], "seed": 7,
"share": {"lose": 0.05, "error": 0.1}, "per_key": 2, "seconds": 3}`
"""

import hashlib
import json
import threading
from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal, cast, get_args

Kind = Literal[
    "limited",  # 429, with Retry-After if `retry_after` is given; nothing began
    "error",  # `status`, nothing began
    "drop",  # the connection closes before anything began
    "stall",  # nothing began, and no answer for `seconds`
    "lose",  # it began, and the connection closes without an answer
    "late",  # it began, and the answer comes after `seconds`
    "cut",  # the answer breaks off half-way
    "garble",  # the answer is whole by its length, but its last part is missing
    "slow",  # the answer trickles for `seconds`
    "wrong_type",  # the right bytes under the wrong content type
    "truncated",  # the result inside the answer is cut off
    "missing",  # 404, of a result's address only: it is not there yet
    "forbidden",  # 403, likewise
]
BEGUN = frozenset({"lose", "late", "cut", "garble", "slow", "wrong_type", "truncated"})  # the work was done
WHOLE = frozenset({"late", "slow", "wrong_type", "truncated"})  # what was said has left all the same
FILES_ONLY = {"missing": 404, "forbidden": 403}


@dataclass(frozen=True, slots=True)
class Fault:
    """One way to misbehave; `method` and `path` (a part of it) say to what, `times` how often."""

    kind: Kind
    times: int = 1
    method: str = ""
    path: str = ""
    status: int = 500
    body: Any = None
    retry_after: float | None = None
    seconds: float = 3.0

    def __post_init__(self) -> None:
        if self.kind not in get_args(Kind):
            raise ValueError(f"no fault {self.kind!r}")


@dataclass(slots=True)
class Faults:
    """The faults of one or more servers, in one process or, by `dump` and `load`, in several. Thread-safe.

    Rules go first, in their order. Then `share` gives each kind its part of the requests, drawn from the seed, the
    request's key (or path) and how often it came: not from the clock or from which request came first. After `per_key`
    faults a key is left alone, so that every job can end.
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

    def __post_init__(self) -> None:
        for kind in self.share:
            Fault(cast("Kind", kind))  # raises for one that there is not

    def add(self, kind: Kind, **fields: Any) -> None:
        """Misbehave once more (or `times` times)."""
        with self._lock:
            self.rules.append(Fault(kind, **fields))

    def choose(self, method: str, path: str, key: str | None) -> Fault | None:
        """What goes wrong with this request, if anything."""
        with self._lock:
            for number, rule in enumerate(self.rules):
                fits = (not rule.method or rule.method == method) and rule.path in path
                if fits and self._used[number] < rule.times:
                    self._used[number] += 1
                    return rule
            return self._drawn(method, path, f"{method} {key or path}")

    def _drawn(self, method: str, path: str, who: str) -> Fault | None:
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
                return Fault(cast("Kind", kind), method=method, seconds=self.seconds, retry_after=self.retry_after)
            chance -= part
        return None

    def dump(self) -> str:
        plain = {name: getattr(self, name) for name in ("seed", "share", "per_key", "seconds", "retry_after")}
        return json.dumps({**plain, "rules": [asdict(rule) for rule in self.rules]})

    @classmethod
    def load(cls, text: str) -> "Faults":
        plain = json.loads(text or "{}")
        return cls(rules=[Fault(**rule) for rule in plain.pop("rules", [])], **plain)
