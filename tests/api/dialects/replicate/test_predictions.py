"""Orders in Replicate's words: how long they wait, and what their webhooks are told."""

from uuid import UUID

import pytest

from api.dialects.replicate.hooks import hook_of
from api.dialects.replicate.models import query_of
from api.dialects.replicate.predictions import lifetime_of, prefer_seconds
from common.errors import InvalidInput
from models.events.kinds import JOB_ENDS

WHO = UUID(int=1)
URL = "https://example.com/hook"


@pytest.mark.parametrize(("header", "seconds"), [
    ("", 0), ("wait", 55), ("Wait", 55), ("wait=60", 55), ("wait=61", 55), ("wait=999999", 55), ("wait=30", 29),
    ("wait=6", 5), ("wait=5", 4), ("wait=2", 1), ("wait=1", 0), ("wait=0", 0), ("respond-async", 0), ("respond-async, wait=10", 9),
    ('wait="10"', 9), ("wait = 10", 9), ("await=10", 0), ("waiting", 0), ("wait=-3", 0), ("wait=x", 0), ("handling=lenient; wait=4", 3),
])  # fmt: skip
def test_an_answer_comes_a_second_before_its_library_gives_up(header: str, seconds: float) -> None:
    assert prefer_seconds(header) == seconds


@pytest.mark.parametrize(("given", "seconds"), [
    (None, None), ("5", 5), ("5s", 5), ("90s", 90), ("2m", 120), ("1h30m", 5400), ("24h", 86_400), ("1h1m1s", 3661),
])  # fmt: skip
def test_a_lifetime_is_read_as_it_is_written(given: str | None, seconds: float | None) -> None:
    assert lifetime_of(given) == seconds


@pytest.mark.parametrize("given", ["", "s", "4s", "25h", "86401", "-5s", "1.5m", "5 m", "m5", "٥s", "1" * 100])
def test_a_lifetime_that_is_none_is_refused(given: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        lifetime_of(given)
    assert refused.value.param == "cancel_after"


@pytest.mark.parametrize(("wanted", "events"), [
    (None, ["job.output", *JOB_ENDS]), ([], ["job.output", *JOB_ENDS]), (["start"], ["job.queued"]), (["output"], ["job.output"]),
    (["completed"], [*JOB_ENDS]), (["logs"], ["job.output", *JOB_ENDS]),
    (["start", "output", "logs", "completed"], ["job.queued", "job.output", *JOB_ENDS]), (["completed", "completed"], [*JOB_ENDS]),
])  # fmt: skip
def test_a_webhook_hears_what_it_asked_for(wanted: list[str] | None, events: list[str]) -> None:
    kept = hook_of(WHO, URL, wanted, None)
    assert kept is not None
    assert (kept["url"], kept["events"], kept["dialect"]) == (URL, events, "replicate")


def test_the_older_word_for_an_address_hears_of_the_end_alone() -> None:
    kept = hook_of(WHO, None, None, URL)
    assert kept is not None
    assert (kept["url"], kept["events"]) == (URL, [*JOB_ENDS])
    both = hook_of(WHO, URL, ["start"], URL)
    assert both is not None
    assert both["events"] == ["job.queued", *JOB_ENDS]
    assert hook_of(WHO, None, None, None) is None


@pytest.mark.parametrize(("given", "param"), [
    ((None, ["start"], None), "webhook_events_filter"), ((URL, None, "https://example.com/other"), "webhook_completed"),
    (("nonsense", None, None), "webhook"), (("ftp://example.com", None, None), "webhook"), (("", None, None), "webhook"),
])  # fmt: skip
def test_what_cannot_be_told_is_refused_by_its_name(given: tuple, param: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        hook_of(WHO, *given)
    assert refused.value.param == param


def test_a_query_comes_plain_or_in_quotes() -> None:
    assert query_of(b"flux schnell") == "flux schnell"
    assert query_of(b'"flux schnell"') == "flux schnell"
    assert query_of(b'"half') == '"half'
    assert query_of(b"") == ""
