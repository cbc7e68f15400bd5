"""Calls of providers are noted by what came of them, and the provider behind is the same."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from prometheus_client import CollectorRegistry, generate_latest

from common.telemetry import figures
from tests.collectors import samples, total
from workers.calls.call import Asking
from workers.calls.measured import MeasuredProvider
from workers.calls.resting import RestingProviders
from workers.providers.base import Done, OutcomeUnknown, Pending, ProviderError, Request

NAME = "headrace_provider_call_seconds_count"
REQUEST = Request(model="m", kind="image", input={}, seconds_left=1.0)


class Painter:
    """A provider that does as it is told."""

    name = "painter"

    def __init__(self, act: Callable[[], Any]) -> None:
        self._act = act

    def recovery(self, _: Request) -> str:
        return "lookup"

    def start(self, _: Request, key: str) -> Any:
        assert key == "key"
        return self._act()

    def poll(self, _: Request, provider_job_id: str) -> Any:
        assert provider_job_id == "id"
        return self._act()

    lookup, cancel = start, poll

    def output(self, *given: Any) -> Any:
        return given

    callback = output


@pytest.fixture
def registry() -> Iterator[CollectorRegistry]:
    made = CollectorRegistry(auto_describe=False)
    figures.begin(made)
    yield made
    figures.end()


def raising(error: Exception) -> Callable[[], Any]:
    def act() -> Any:
        raise error

    return act


@pytest.mark.parametrize(("act", "outcome"), [
    (lambda: Done(()), "done"), (lambda: Pending("id"), "pending"), (lambda: None, "nothing"),
    (raising(ProviderError("busy", "x", retryable=True, limited=True)), "limited"),
    (raising(ProviderError("http_500", "x", retryable=True)), "failed"),
    (raising(ProviderError("nsfw", "x", retryable=False)), "refused"),
    (raising(OutcomeUnknown()), "unknown"), (raising(ZeroDivisionError()), "fault"),
])  # fmt: skip
def test_each_call_is_noted_by_its_outcome(registry: CollectorRegistry, act: Callable[[], Any], outcome: str) -> None:
    bare: Any = Painter(act)
    provider = MeasuredProvider(bare)
    calls = {
        "start": lambda: provider.start(REQUEST, "key"), "poll": lambda: provider.poll(REQUEST, "id"),
        "lookup": lambda: provider.lookup(REQUEST, "key"), "cancel": lambda: provider.cancel(REQUEST, "id"),
    }  # fmt: skip
    for name, call in calls.items():
        if outcome in {"done", "pending", "nothing"}:
            assert call() == (None if name == "cancel" else act())
        else:
            with pytest.raises((ProviderError, OutcomeUnknown, ZeroDivisionError)):
                call()
        found = samples(generate_latest(registry).decode())
        assert total(found, NAME, provider="painter", call=name, outcome=outcome) == 1
    assert provider.recovery(REQUEST) == "lookup"
    assert provider.output(REQUEST, "a", "b") == (REQUEST, "a", "b")
    assert provider.callback(REQUEST, "a", "c") == (REQUEST, "a", "c")  # type: ignore[comparison-overlap, arg-type]  # as it was given


@pytest.mark.usefixtures("database")
def test_nothing_stands_before_a_provider_while_nobody_watches(registry: CollectorRegistry) -> None:
    live: Any = type("Live", (), {"provider": "sketch"})
    assert isinstance(Asking().provider(live), MeasuredProvider)
    figures.end()
    assert not isinstance(Asking().provider(live), MeasuredProvider)


@pytest.mark.usefixtures("database")
def test_resting_providers_are_asked_for_rarely(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = list[None]()

    def read() -> list[Any]:
        asked.append(None)
        return [(("painter",), 3.0)]

    monkeypatch.setattr("workers.calls.resting._read", read)
    resting = RestingProviders()
    assert [resting() for _ in range(3)] == [[(("painter",), 3.0)]] * 3
    assert len(asked) == 1
    monkeypatch.undo()
    assert all(seconds == 0 for _, seconds in RestingProviders()())
