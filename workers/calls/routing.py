"""Which route of a model is tried, and whether now. What is decided is decided in `choose`, which touches nothing.

Routes are tried in the catalogue's order. A provider that rests, is full or has said 429 is passed over; after a
fault that cost nothing the next route is tried. If no route is possible the job is put back without spending an
attempt.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from models.catalogue.providers import ProviderLimits
from models.jobs.pauses import WAITS
from workers.calls.limits import Denied, Granted, ProviderState, Report
from workers.providers.base import OutcomeUnknown, ProviderError

MIN_WAIT_SECONDS = 0.1  # sooner than that a job need not come back
PAUSED_SECONDS = 30.0  # how long a job waits whose every other provider has no room; a pause's end wakes it
SPREAD = 0.25  # waits grow by up to so much, so that those told the same time do not all come at it


@dataclass(frozen=True, slots=True)
class Go:
    """Try this route now."""

    route: int


@dataclass(frozen=True, slots=True)
class Wait:
    """No route is possible now."""

    seconds: float
    reason: str


Choice = Go | Wait


class HasProvider(Protocol):
    """What is needed of a route."""

    @property
    def provider(self) -> str: ...


def route_after(count: int, route: int, error: ProviderError) -> int:
    """Where a job begins next, after a failure: the next route, unless it was charged (two providers would be paid for
    one job), had no room (which says nothing about the route) or would fail anywhere.
    """
    falls_back = error.elsewhere and not error.charged and not error.limited
    return (route + 1 if falls_back else route) % count


def obstacle(state: ProviderState) -> Denied | None:
    """Why a provider may not be asked now. Of several reasons, the one that lasts longest."""
    reasons = [
        Denied(state.limited_seconds, "limited"),
        Denied(state.resting_seconds, "resting"),
        Denied(state.probing_seconds if state.half_open else 0.0, "probing"),
        Denied(state.slot_seconds if state.slots_free == 0 else 0.0, "full"),
        Denied(state.call_seconds if state.calls_left == 0 else 0.0, "rate"),
    ]
    worst = max(reasons, key=lambda each: each.seconds)
    return worst if worst.seconds > 0 else None


def choose(routes: Sequence[HasProvider], states: Mapping[str, ProviderState | Denied], begin: int = 0) -> Choice:
    """Choose a route, from `begin` on. A provider without a state is taken to be free. `routes` is not empty."""
    soonest: tuple[float, str] | None = None
    for step in range(len(routes)):
        at = (begin + step) % len(routes)
        name = routes[at].provider
        state = states.get(name)
        denied = obstacle(state) if isinstance(state, ProviderState) else state
        if denied is None:
            return Go(at)
        if soonest is None or denied.seconds < soonest[0]:
            soonest = denied.seconds, f"{denied.reason}: {name} {_WORDS[denied.reason]}"
    assert soonest is not None  # noqa: S101 - there is at least one route
    return Wait(max(MIN_WAIT_SECONDS, soonest[0]), soonest[1])


_WORDS = {
    "limited": "has asked us to wait",
    "resting": "is rested after faults",
    "probing": "is tried out after faults",
    "full": "has no free slot",
    "rate": "has been asked as often as it may",
    WAITS: "is paused by an operator",
}


class Limiter(Protocol):
    """What is needed of `Pressure`."""

    def acquire(
        self, provider: str, limits: ProviderLimits, member: str, *, lease_seconds: float = 60.0
    ) -> Granted | Denied: ...


def take(
    limiter: Limiter,
    routes: Sequence[HasProvider],
    limits: Callable[[str], ProviderLimits],
    begin: int,
    member: str,
    *,
    lease_seconds: float,
    chance: float = 0.0,
    pressure_key: Callable[[str], str] = str,
    paused: Collection[str] = (),
) -> Choice:
    """Choose a route and take a slot of its provider, for `member` to release. `pressure_key` gives the name under which a
    provider is counted for this job: its own, or that of the customer's own key there.

    Asks without looking first, so that the usual case is one round trip; each denial is one more, at most one per
    provider. `chance` is a number from 0 to 1 that spreads the waits. Those that are `paused` are not asked.
    """
    states: dict[str, ProviderState | Denied] = {name: Denied(PAUSED_SECONDS, WAITS) for name in paused}
    while True:
        choice = choose(routes, states, begin)
        if isinstance(choice, Wait):
            return Wait(choice.seconds * (1 + SPREAD * chance), choice.reason)
        name = routes[choice.route].provider
        answer = limiter.acquire(pressure_key(name), limits(name), member, lease_seconds=lease_seconds)
        if isinstance(answer, Granted):
            return choice
        states[name] = answer


def report_of(error: ProviderError | OutcomeUnknown | None) -> Report:
    """What an answer says about its provider. A lost answer is a fault; so is none of what the client's input caused.

    Our key or our name of a model being wrong is no fault either: the provider works, and other models of it may.
    """
    if error is None:
        return Report.OK
    if isinstance(error, OutcomeUnknown):
        return Report.FAULT
    if error.limited:
        return Report.LIMITED
    return Report.FAULT if error.retryable else Report.REFUSED
