"""The options of a sketch route, read and checked. They come from the catalogue, never from a client.

| option | what it does |
|---|---|
| `cost_usd_micros` | what a generation costs |
| `delay_seconds` | `start` answers so late |
| `pending`, `ready_seconds`, `poll_after_seconds` | asynchronous: `start` answers Pending, polls do until so long after it |
| `late_seconds` | ready so much later than `delay_seconds` or `ready_seconds` made believe (progress stands at 99) |
| `fail` | "retryable", "permanent" or "limited" (no room now: nothing begins, nothing is charged) |
| `fail_at` | "start" or "poll": where it fails |
| `fail_times`, `fail_rate` | fails the first N times per job (needs a book); fails for this share of keys (0 to 1, by their hash) |
| `charge_on_failure`, `retry_after_seconds` | what a failure says about money and about when to come again |
| `forget` | the generation begins and is charged, but the answer to its first `start` is lost |
| `recovery` | "lookup", "idempotent" or "none"; without it "lookup" where there is a book, else "idempotent" |
| `twice` | says what is true of every route, so that a test can name it: a result is answered again, the same, at every poll |
| `instant` | a tiny picture drawn once per process |
| `size_bytes` | the output is filled up to this size, streamed |
| `claimed_media_type`, `truncated` | lies about the type; cuts the output off in the middle |
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, Literal, get_args

from workers.providers.base import ProviderError, Recovery

FailingCall = Literal["start", "poll"]
_WORDS = {
    "fail": ("retryable", "permanent", "limited"),
    "fail_at": ("start", "poll"),
    "recovery": ("lookup", "idempotent", "none"),
}
_MESSAGES = {"retryable": "the pencil broke", "permanent": "this cannot be drawn", "limited": "too many at once"}
SIZE_LIMIT_BYTES = 2**32 - 1  # an MP4 box counts its bytes with 32 bits


@dataclass(frozen=True, slots=True, kw_only=True)
class Switches:
    """One route's options."""

    cost_usd_micros: int = 0
    delay_seconds: float = 0.0
    pending: bool = False
    ready_seconds: float = 0.0
    poll_after_seconds: float = 0.5
    late_seconds: float = 0.0
    fail: str | None = None
    fail_at: str = "start"
    fail_times: int | None = None
    fail_rate: float | None = None
    charge_on_failure: bool = False
    retry_after_seconds: float | None = None
    forget: bool = False
    recovery: Recovery | None = None
    twice: bool = False
    instant: bool = False
    size_bytes: int | None = None
    claimed_media_type: str | None = None
    truncated: bool = False

    @property
    def needs_book(self) -> bool:
        """Something has to be remembered between two calls."""
        return self.pending or self.forget or self.fail_times is not None or self.fail_at == "poll"

    @property
    def answer_seconds(self) -> float:
        """How long `start` takes."""
        return self.delay_seconds if self.pending else self.delay_seconds + self.late_seconds

    @property
    def promised_seconds(self) -> float:
        """After how long a generation says it will be ready."""
        return self.ready_seconds if self.pending else self.delay_seconds

    def fails(self, place: FailingCall, key: str, failures_before: int) -> bool:
        """Whether the generation of this key fails here; `failures_before` is how often its job failed already."""
        if self.fail is None or self.fail_at != place:
            return False
        if self.fail_times is not None and failures_before >= self.fail_times:
            return False
        return self.fail_rate is None or fraction(key) < self.fail_rate

    @property
    def failure_cost(self) -> int:
        """What a failed generation costs."""
        return self.cost_usd_micros if self.charge_on_failure and self.fail != "limited" else 0

    def failure(self) -> ProviderError:
        """What a failed generation answers."""
        kind = self.fail or "retryable"
        return ProviderError(
            f"sketch_{kind}",
            _MESSAGES[kind],
            retryable=kind != "permanent",
            charged=self.charge_on_failure and kind != "limited",
            cost_usd_micros=self.failure_cost,
            retry_after_seconds=self.retry_after_seconds,
            limited=kind == "limited",
        )

    def stopped(self, code: str, message: str) -> ProviderError:
        """What a generation answers that was stopped on its way: what it cost, it cost."""
        return ProviderError(
            code, message, retryable=False, charged=self.cost_usd_micros > 0, cost_usd_micros=self.cost_usd_micros
        )


def read(options: Mapping[str, Any]) -> Switches:
    """A route's options. Raises ProviderError `bad_route`, for good, that names the option which is wrong."""
    kinds = {field.name: field.type for field in fields(Switches)}
    given = {name: value for name, value in options.items() if value is not None}
    for name, value in given.items():
        if name not in kinds:
            raise _bad(f"there is no option {name!r}; there are {', '.join(sorted(kinds))}")
        if name in _WORDS:
            if value not in _WORDS[name]:
                raise _bad(f"{name} is {value!r}, which is none of {', '.join(_WORDS[name])}")
        elif not _is(kinds[name], value):
            raise _bad(f"{name} is {value!r}; that cannot be")
    if given.get("size_bytes", 0) > SIZE_LIMIT_BYTES:
        raise _bad(f"size_bytes is more than {SIZE_LIMIT_BYTES}")
    return Switches(**given)


def _is(kind: Any, value: Any) -> bool:
    kinds = get_args(kind) or (kind,)
    if isinstance(value, bool) or bool in kinds:  # a bool is an int to Python, not to a catalogue
        return isinstance(value, bool) and bool in kinds
    if str in kinds:
        return isinstance(value, str)
    return isinstance(value, int | float if float in kinds else int) and value >= 0


def _bad(message: str) -> ProviderError:
    return ProviderError("bad_route", f"sketch: {message}", retryable=False)


def fraction(key: str) -> float:
    """A number from 0 to 1 that belongs to a key."""
    return int.from_bytes(hashlib.sha256(key.encode()).digest()[:4], "big") / 2**32
