"""Which route is tried, decided without any server."""

from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.catalogue.providers import ProviderLimits
from workers.calls.limits import Denied, Granted, ProviderState, Report
from workers.calls.routing import Go, Wait, choose, report_of, route_after, take
from workers.providers.base import OutcomeUnknown, ProviderError


@dataclass(frozen=True)
class R:
    provider: str


ABC = [R("a"), R("b"), R("c")]
FREE = ProviderState()
RESTS = ProviderState(resting_seconds=12)


@pytest.mark.parametrize(("route", "error", "following"), [
    (0, {"retryable": True}, 1),
    (2, {"retryable": True}, 0),  # wraps round
    (0, {"retryable": True, "charged": True}, 0),  # paid for: not at two providers
    (1, {"retryable": False}, 1),  # refused: no other would take it
    (0, {"retryable": False, "elsewhere": True}, 1),  # our key there is wrong
    (0, {"retryable": True, "limited": True}, 0),  # had no room: says nothing
    (7, {"retryable": True}, 2),  # a version with fewer routes
])  # fmt: skip
def test_a_fault_that_cost_nothing_goes_on_to_the_next_route(route: int, error: dict[str, Any], following: int) -> None:
    assert route_after(3, route, ProviderError("x", "y", **error)) == following


@pytest.mark.parametrize("state", [
    RESTS, ProviderState(limited_seconds=1), ProviderState(half_open=True, probing_seconds=1),
    ProviderState(slots_free=0, slot_seconds=1), ProviderState(calls_left=0, call_seconds=1), Denied(1, "full"),
])  # fmt: skip
def test_a_provider_that_cannot_is_passed_over(state: ProviderState | Denied) -> None:
    assert choose(ABC, {"a": state, "b": FREE}) == Go(1)
    assert choose(ABC, {"c": state, "b": state}, 1) == Go(0)
    assert isinstance(choose(ABC[:1], {"a": state}), Wait)


@pytest.mark.parametrize("state", [
    FREE, ProviderState(half_open=True), ProviderState(slots_free=1, calls_left=1), ProviderState(faults=4, slots_used=9),
])  # fmt: skip
def test_a_provider_that_can_is_asked(state: ProviderState) -> None:
    assert choose(ABC, {"a": state}) == Go(0)


def test_a_wait_is_as_long_as_the_soonest_provider_and_says_why() -> None:
    states = {"a": RESTS, "b": ProviderState(limited_seconds=3, resting_seconds=1), "c": Denied(40, "full")}
    assert choose(ABC, states) == Wait(3, "limited: b has asked us to wait")
    assert choose(ABC[:1], {"a": Denied(0.0, "rate")}) == Wait(0.1, "rate: a has been asked as often as it may")


@given(
    st.lists(st.sampled_from("abcd"), min_size=1, max_size=5),
    st.dictionaries(st.sampled_from("abcd"), st.builds(ProviderState, resting_seconds=st.floats(0, 100))),
    st.integers(0, 6),
)
def test_a_choice_is_a_free_route_exactly_if_there_is_one(
    names: list[str], states: dict[str, ProviderState], begin: int
) -> None:
    routes = [R(name) for name in names]
    choice = choose(routes, states, begin)
    free = [at for at, name in enumerate(names) if name not in states or not states[name].resting_seconds]
    if free:
        assert isinstance(choice, Go)
        assert choice.route in free
    else:
        assert isinstance(choice, Wait)
        assert choice.seconds > 0


@dataclass
class Scripted:
    """A limiter that denies some providers and remembers who asked."""

    denied: dict[str, Denied]
    asked: list[str] = field(default_factory=list)

    def acquire(
        self, provider: str, limits: ProviderLimits, member: str, *, lease_seconds: float = 60.0
    ) -> Granted | Denied:
        self.asked.append(provider)
        return self.denied.get(provider, Granted())


def test_the_usual_case_asks_once_and_each_provider_at_most_once() -> None:
    def taken(limiter: Scripted, chance: float = 0.0) -> object:
        routes = [R("a"), R("b"), R("a")]
        return take(limiter, routes, lambda _: ProviderLimits(), 0, "m", lease_seconds=5, chance=chance)

    usual = Scripted({})
    assert (taken(usual), usual.asked) == (Go(0), ["a"])
    second = Scripted({"a": Denied(5, "full")})
    assert (taken(second), second.asked) == (Go(1), ["a", "b"])
    none = Scripted({"a": Denied(4, "full"), "b": Denied(9, "rate")})
    assert (taken(none, 1.0), none.asked) == (Wait(5, "full: a has no free slot"), ["a", "b"])


def test_a_providers_slot_is_taken_under_the_name_that_it_is_counted_by() -> None:
    limiter = Scripted({"a@me": Denied(5, "full")})
    choice = take(
        limiter, [R("a"), R("b")], lambda _: ProviderLimits(), 0, "m", lease_seconds=5,
        pressure_key=lambda name: f"{name}@me" if name == "a" else name,
    )  # fmt: skip
    assert (choice, limiter.asked) == (Go(1), ["a@me", "b"])


@pytest.mark.parametrize(("error", "report"), [
    (None, Report.OK),
    (OutcomeUnknown("lost"), Report.FAULT),
    (ProviderError("no_result_of_kind", "x", retryable=False, charged=True), Report.REFUSED),
    (ProviderError("http_500", "x", retryable=True), Report.FAULT),
    (ProviderError("bad_result", "x", retryable=True, charged=True), Report.FAULT),
    (ProviderError("limited", "x", retryable=True, limited=True), Report.LIMITED),
    (ProviderError("invalid_input", "x", retryable=False), Report.REFUSED),
    (ProviderError("not_found", "x", retryable=False, elsewhere=True), Report.REFUSED),
])  # fmt: skip
def test_only_faults_count_against_a_provider(error: ProviderError | OutcomeUnknown | None, report: Report) -> None:
    assert report_of(error) is report
