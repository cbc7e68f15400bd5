"""How much each provider is asked, known to all workers over Redis: slots, calls per minute, circuit breaker, 429s.

Every operation is one script, so one round trip, and goes by the server's clock. What it keeps are hints: after a
FLUSHALL, or while Redis is away, work goes on without limits, and the provider's own 429 is the limit.

What is counted is a credential: a provider's name for our own key, and `models.catalogue.provider_keys.credential` for a customer's
own, so that one customer's limits and faults there are nobody else's.

A circuit opens once `faults` faults have come within the window, and from at least three accounts; from as many as have
asked at all in the window, where these are fewer. So what one customer's input does to a provider does not rest it for
all others who use it, and a provider that fails for everybody rests.

A credential's keys: `slots`, members (job:attempt) by when they lapse, so that a killed worker's slot frees itself;
`calls`, a call each by its time, the last minute only, where there is a limit; `faults` likewise; `asked` and `faulted`,
accounts by when they last did; `waiting`, who was denied, by until when; and `state`: limited_until, resting_until
(there: the circuit is open, or half-open once it has passed), rest, probe, probe_until, closed_at. Times are
milliseconds.
"""

import logging
import math
import threading
import time
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

import redis

from common.redis_client import redis_client
from common.rest import Rest
from common.settings import settings
from models.catalogue.providers import ProviderLimits

log = logging.getLogger(__name__)

KEY = "headrace:provider:{}:{}"
PARTS = ("slots", "calls", "faults", "asked", "faulted", "waiting", "state")
ACCOUNTS = 3  # whose faults open a circuit together
SEND_SECONDS = 1.0
AWAY_SECONDS = (
    1.0  # after a failure Redis is not asked for so long, so that its absence does not cost each job a time-out
)
LOG_SECONDS = 60.0
MAX_OWED = 10_000  # slots that are to be given back once Redis is there again; the rest lapse
DEFAULT_LIMITED_SECONDS = 5.0  # a 429 that does not say for how long
MAX_LIMITED_SECONDS = 300.0  # whatever Retry-After says: then one call finds out


class Report(StrEnum):
    """What a provider's answer says about the provider."""

    OK = "ok"
    REFUSED = "refused"  # the client's input, or something else about one job: the provider itself works
    FAULT = "fault"
    LIMITED = "limited"


@dataclass(frozen=True, slots=True)
class Granted:
    """The provider may be asked now. `probe`: the answer decides whether a resting provider is well again."""

    probe: bool = False


@dataclass(frozen=True, slots=True)
class Denied:
    """Not now; it may be worth asking again after so many seconds."""

    seconds: float
    reason: str  # limited, resting, probing, full or rate


@dataclass(frozen=True, slots=True)
class ProviderState:
    """A provider as it stands; `*_seconds` count from now, 0: not so."""

    limited_seconds: float = 0.0
    resting_seconds: float = 0.0
    half_open: bool = False
    probing_seconds: float = 0.0  # a probe is under way, and lapses after so long
    slots_used: int = 0
    slots_free: int | None = None  # None: no limit
    slot_seconds: float = 0.0  # until it is worth asking for a slot again, where none is free
    calls_last_minute: int = 0
    calls_left: int | None = None
    call_seconds: float = 0.0  # until one more call may be made, where none is left
    faults: int = 0


_LUA = Path(__file__).with_name("lua")
_SCRIPTS = {
    name: "".join((_LUA / f"{part}.lua").read_text() for part in ("now", name))
    for name in ("acquire", "report", "states", "rest")
}


class Pressure:
    """The limits of all providers, over one Redis client. Thread-safe; never raises for a Redis that is away.

    `offset_seconds` shifts the server's clock, for tests.
    """

    def __init__(self, url: str, *, offset_seconds: float = 0.0) -> None:
        self._client = redis_client(url, timeout_seconds=SEND_SECONDS, connect_seconds=0.5)
        self._rest = Rest(AWAY_SECONDS)
        self._log_after = 0.0
        self._owed: deque[tuple[str, str]] = deque(maxlen=MAX_OWED)
        self._scripts = {name: self._client.register_script(text) for name, text in _SCRIPTS.items()}
        self.offset_seconds = offset_seconds

    def acquire(
        self, provider: str, limits: ProviderLimits, member: str, *, lease_seconds: float = 60.0
    ) -> Granted | Denied:
        """Ask to call a provider. What is granted counts as a call and holds a slot until released or lapsed.

        The same member may ask again: it holds one slot, and each time counts as a call.
        """
        answer = self._run(
            "acquire", _keys(provider),
            [member, limits.concurrency or 0, limits.per_minute or 0, _ms(lease_seconds)],
        )  # fmt: skip
        if answer is None or answer[0] == 1:
            return Granted(probe=answer is not None and answer[2] == b"probe")
        return Denied(answer[1] / 1000, answer[2].decode())

    def report(
        self,
        provider: str,
        limits: ProviderLimits,
        member: str,
        report: Report,
        *,
        account: str,
        retry_after_seconds: float | None = None,
        release: bool = True,
    ) -> None:
        """Say what came of a call for an account. `release=False`: the provider goes on working on it, and its slot stays
        held.
        """
        asked = retry_after_seconds if retry_after_seconds is not None else DEFAULT_LIMITED_SECONDS
        retry = min(max(asked, 0.0), MAX_LIMITED_SECONDS) if not math.isnan(asked) else DEFAULT_LIMITED_SECONDS
        heard = self._run(
            "report", _keys(provider),
            [
                str(report), member, int(release), _ms(retry), limits.faults, _ms(limits.window_seconds),
                _ms(limits.rest_seconds), _ms(limits.rest_max_seconds), account, ACCOUNTS,
            ],
        )  # fmt: skip
        if heard is None and release:
            self._owed.append((provider, member))

    def release(self, provider: str, member: str) -> None:
        """Give a slot, or a place among those who wait for one, back without a word on how it went; a probe that says
        nothing makes room for another. One round trip, and it may be done again, by whoever is not sure that it was done.
        While Redis is away it is owed, and given back before the first question after that.
        """
        if not self._freed(provider, member):
            self._owed.append((provider, member))

    def states(self, providers: Mapping[str, ProviderLimits]) -> dict[str, ProviderState] | None:
        """How these stand, by the names that they are counted under, without changing anything. None: Redis is away, and
        nobody knows.
        """
        if not providers:
            return {}
        keys = [key for name in providers for key in _keys(name)]
        values = [value for each in providers.values() for value in (each.per_minute or 0, _ms(each.window_seconds))]
        answer = self._run("states", keys, [len(PARTS), *values])
        if answer is None:
            return None
        return {name: _state(row, limits) for (name, limits), row in zip(providers.items(), answer, strict=True)}

    def rest(self, provider: str, seconds: float) -> bool:
        """Ask nothing of a provider for so long, then try it with one job; 0: wake it now, whatever it has said. False: Redis is
        away, and nothing was done.
        """
        return self._run("rest", _keys(provider), [_ms(seconds)]) is not None

    def close(self) -> None:
        self._client.close()

    def _run(self, script: str, keys: Sequence[str], values: Sequence[Any]) -> Any:
        """Run a script, once what is owed has been given back. None: Redis is away."""
        self._give_back_owed()
        return self._ask(script, keys, values)

    def _freed(self, provider: str, member: str) -> bool:
        return self._ask("report", _keys(provider), ["none", member, 1, 0, 1, 0, 0, 0, "", ACCOUNTS]) is not None

    def _give_back_owed(self) -> None:
        while self._owed:
            try:
                owed = self._owed.popleft()
            except IndexError:  # another thread has given it back
                return
            if not self._freed(*owed):
                self._owed.appendleft(owed)
                return

    def _ask(self, script: str, keys: Sequence[str], values: Sequence[Any]) -> Any:
        return self._guard(lambda: self._scripts[script](keys=keys, args=[_ms(self.offset_seconds), *values]))

    def _guard(self, ask: Any) -> Any:
        if self._rest.is_on:
            return None
        try:
            return ask()
        except redis.RedisError as error:
            moment = time.monotonic()
            self._rest.start()
            if moment >= self._log_after:
                self._log_after = moment + LOG_SECONDS
                log.warning("redis is away, providers are asked without limits: %s", type(error).__name__)
            return None


def _keys(provider: str) -> list[str]:
    return [KEY.format(provider, part) for part in PARTS]


def _ms(seconds: float) -> int:
    return round(seconds * 1000)


def _state(row: Sequence[int], limits: ProviderLimits) -> ProviderState:
    limited, resting, half_open, probing, used, made, frees, faults = row
    free = None if limits.concurrency is None else max(0, limits.concurrency - used)
    left = None if limits.per_minute is None else max(0, limits.per_minute - made)
    return ProviderState(
        limited / 1000, resting / 1000, bool(half_open), probing / 1000, used, free, 1.0 if free == 0 else 0.0,
        made, left, frees / 1000, faults,
    )  # fmt: skip


_lock = threading.Lock()
_pressures: dict[str, Pressure] = {}


def pressure() -> Pressure:
    """This process's limits, made on first use."""
    url = settings().redis_url
    found = _pressures.get(url)
    if found is None:
        with _lock:
            found = _pressures.setdefault(url, Pressure(url))
    return found


def close() -> None:
    """Close this process's clients (end of a process, or of a test)."""
    with _lock:
        closing: Iterable[Pressure] = list(_pressures.values())
        _pressures.clear()
    for each in closing:
        each.close()
