"""How fast strangers are served: what an address costs before it is known who asks is counted, and what goes beyond its
pace waits. Waiting costs us nothing, so one address cannot take the processor from those who have a key.

A unit is about what a request costs that is refused, a third of a millisecond. An address has so many in a second, and
may be a second ahead. What turns out to come from somebody known (a key, a token, a signed address) is given back.
"""

import math
import time
from collections import Counter
from collections.abc import Callable, MutableMapping
from typing import Any

from api.edge.addresses import network_of

AHEAD_SECONDS = 1.0
MAX_SECONDS = 10.0  # that a request waits; one that would have to wait longer is refused
MAX_DEBT_SECONDS = 12.0  # of an address, so that it is forgiven soon
MAX_WAITING = 100  # requests of one address; through a proxy of ours they may come faster than they are served
HOLD_SECONDS = 8.0  # about, that a refusal waits too: who is refused at once asks again at once, and that costs as much
MAX_HELD = 1000  # that wait, of all addresses; what is refused then is told so at once
HEALTH_SECONDS = 1.0  # for who asks whether this process is well, from an address that we know nothing good of
FORGET_SECONDS = 5.0  # between looks at who owes nothing any more
WEIGHT_BYTES = 32_768  # of an answer, that cost as much as another request
MAX_REGULARS = 10_000

PACE, _CHARGED = "headrace.pace", "headrace.charged"  # in a request's scope
KNOWN = "headrace.known"
TOO_FAST = "your address asks faster than strangers are served; send a valid key, or ask more slowly"
HEALTH = frozenset({"/healthz", "/readyz"})

_AsgiScope = MutableMapping[str, Any]


class Pace:
    """For one event loop."""

    def __init__(self, per_second: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._unit_seconds = 1 / per_second
        self._clock = clock
        self._paid_at: dict[str, float] = {}  # when an address will have paid for what it has cost
        self.waiting: Counter[str] = Counter()  # requests of an address
        self._regulars: dict[int, None] = {}  # what was known when it last asked, oldest first
        self._forgot_at = clock()

    def charge(self, peer: str, cost: float) -> float:
        """Count what an address costs. Returns what was counted: less where its debt is as large as it gets."""
        now = self._clock()
        if now - self._forgot_at > FORGET_SECONDS:
            self._forgot_at = now
            self._paid_at = {each: paid_at for each, paid_at in self._paid_at.items() if paid_at > now}
        before = max(self._paid_at.get(peer, now), now)
        self._paid_at[peer] = min(before + cost * self._unit_seconds, now + AHEAD_SECONDS + MAX_DEBT_SECONDS)
        return (self._paid_at[peer] - before) / self._unit_seconds

    def wait_of(self, peer: str) -> float:
        """The seconds until what an address has cost is its due."""
        now = self._clock()
        return max(0.0, self._paid_at.get(peer, now) - now - AHEAD_SECONDS)

    def forgive(self, peer: str, cost: float) -> None:
        """It was somebody known."""
        paid_at = self._paid_at.get(peer)
        if paid_at is not None:
            self._paid_at[peer] = paid_at - cost * self._unit_seconds

    def turn_of(self, scope: _AsgiScope, peer: str, cost: float = 1.0) -> float:
        """Count a request of an address. Returns the seconds until its turn; infinite: it would be too long, or too many
        of that address wait. Who lets it wait says so, and `waited` when it is over.
        """
        scope[_CHARGED] = (peer, self.charge(peer, cost))
        wait = self.wait_of(peer)
        if not wait or self._is_regular(scope):
            return 0.0
        if scope["path"] in HEALTH:
            wait = min(wait, HEALTH_SECONDS)
        return math.inf if wait >= MAX_SECONDS or self.waiting[peer] >= MAX_WAITING else wait

    def waits(self, peer: str) -> None:
        """A request of an address waits, or its refusal."""
        self.waiting[peer] += 1

    def end_wait(self, peer: str) -> None:
        """A request of an address waits no longer."""
        self.waiting[peer] -= 1
        if not self.waiting[peer]:
            del self.waiting[peer]

    def know(self, scope: _AsgiScope) -> None:
        """Who asks is known: it was not a stranger's request, nor is the next one that carries the same."""
        self.forgive(*scope.get(_CHARGED, ("", 0.0)))
        credential = _credential(scope)
        if credential is not None:
            self._regulars.pop(credential, None)
            self._regulars[credential] = None
            if len(self._regulars) > MAX_REGULARS:
                del self._regulars[next(iter(self._regulars))]

    def forget(self, scope: _AsgiScope) -> None:
        """What it carries is not good, or no longer."""
        self._regulars.pop(_credential(scope) or 0, None)

    def _is_regular(self, scope: _AsgiScope) -> bool:
        return _credential(scope) in self._regulars


def know(scope: _AsgiScope) -> None:
    """Note that who asks is known, by a key, a token or a signature."""
    if not scope.get(KNOWN):
        scope[KNOWN] = True
        pace: Pace | None = scope.get(PACE)
        if pace is not None:
            pace.know(scope)


def weigh(scope: _AsgiScope, size: int) -> None:
    """Count a large answer that anybody may have."""
    pace: Pace | None = scope.get(PACE)
    if pace is not None:
        pace.charge(network_of(scope), size / WEIGHT_BYTES)


def _credential(scope: _AsgiScope) -> int | None:
    """A mark of the key or token that a request carries; secrets are not kept."""
    for name, value in scope["headers"]:
        if name == b"authorization":
            return hash(value)
    return None
