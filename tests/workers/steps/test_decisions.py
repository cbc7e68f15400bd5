"""What a step decides, without doing it."""

from dataclasses import replace
from types import SimpleNamespace
from uuid import uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.settings import settings
from models.jobs.steps import Claim, LiveAttempt
from workers.providers.base import Pending
from workers.steps.decisions import (
    LONGER_WHEN_CALLED_BACK,
    Next,
    back_off_seconds,
    measured_quantity_milli,
    next_step,
    poll_pause,
    tells_nothing_new,
)

CLAIM = Claim(
    job_id=uuid4(), account_id=uuid4(), token=1, owner="w", entry=SimpleNamespace(), input={}, queue="interactive",
    attempts=1, attempts_spent=1, cancel_requested=False, seconds_left=60.0, price_credits=1,
    quantity_milli=1000, rate=(1, 1000), begins=False, live=None,
)  # fmt: skip


def live(phase: str) -> LiveAttempt:
    return LiveAttempt(1, 0, "sketch", phase, "p" if phase == "accepted" else None)


@pytest.mark.parametrize(("changes", "step"), [
    ({"live": live("intent"), "begins": True}, Next.START),
    ({"seconds_left": -1.0}, Next.TIME_OUT),
    ({"seconds_left": -1.0, "exhausted": True}, Next.FAIL),
    ({"seconds_left": -1.0, "exhausted": True, "live": live("accepted")}, Next.TIME_OUT),
    ({"cancel_requested": True}, Next.CANCEL),
    ({"live": live("accepted")}, Next.POLL),
    ({"live": live("accepted"), "seconds_left": 0.0}, Next.TIME_OUT),
    ({"live": live("accepted"), "cancel_requested": True}, Next.CANCEL),
    ({"live": live("intent")}, Next.RECOVER),
    ({"live": live("unknown")}, Next.RECOVER),
    # What has been answered is collected, late or canceled as it may be: it is paid for.
    ({"live": live("delivered"), "cancel_requested": True, "seconds_left": -1.0}, Next.COLLECT),
    ({}, Next.FAIL),
    # What may have been started is asked for, even if it is to be canceled or is late: it may have been paid for.
    ({"live": live("intent"), "cancel_requested": True, "seconds_left": -1.0}, Next.RECOVER),
])  # fmt: skip
def test_the_row_alone_says_what_is_next(changes: dict[str, object], step: Next) -> None:
    assert next_step(replace(CLAIM, **changes)) == step


@given(st.integers(0, 40), st.floats(0, 1))
def test_back_off_grows_to_its_ceiling_and_never_beyond(tries: int, chance: float) -> None:
    pause = back_off_seconds(tries, base=2, ceiling=300, chance=chance)
    assert 1 <= pause <= 300
    assert pause <= back_off_seconds(tries + 1, base=2, ceiling=300, chance=1)


def test_what_was_made_is_what_is_settled() -> None:
    film = SimpleNamespace(media_type="video/mp4", duration_ms=1500)
    sound = SimpleNamespace(media_type="audio/wav", duration_ms=250)
    picture = SimpleNamespace(media_type="image/png", duration_ms=None)
    assert measured_quantity_milli("image", 4000, [picture, picture], {}) == 2000
    assert measured_quantity_milli("image", 4000, [picture, sound], {}) == 1000, "what came besides is not counted"
    assert measured_quantity_milli("second", 9000, [film, sound, picture], {}) == 1750
    assert (
        measured_quantity_milli("second", 9000, [SimpleNamespace(media_type="audio/wav", duration_ms=None)], {}) == 9000
    )
    two = [picture, picture]
    assert measured_quantity_milli("token", 9000, [], {"tokens": 3}) == 3000
    assert measured_quantity_milli("job", 1000, two, {}) == 1000


@given(st.floats(0.01, 3600), st.floats(0, 90_000), st.booleans())
def test_polls_grow_rarer_with_age_but_by_a_share_of_it_and_to_a_ceiling(
    least: float, age: float, calls_back: bool
) -> None:
    pause = poll_pause(Pending("p", least, calls_back=calls_back), age)
    ceiling = settings().poll_max_seconds * (LONGER_WHEN_CALLED_BACK if calls_back else 1)
    assert pause == least or pause <= min(age * (0.25 if calls_back else 0.05), ceiling)
    assert pause >= least
    assert pause <= poll_pause(Pending("p", least, calls_back=calls_back), age + 1)


@pytest.mark.parametrize(("pending", "age", "pause"), [
    (Pending("p", 1.0), 0.0, 1.0),
    (Pending("p", 1.0), 20.0, 1.0),  # as lively as ever
    (Pending("p", 1.0), 200.0, 10.0),
    (Pending("p", 1.0), 40_000.0, 60.0),
    (Pending("p", 90.0), 40_000.0, 90.0),  # the adapter's own pause is longer
    (Pending("p", 10.0, calls_back=True), 200.0, 50.0),
    (Pending("p", 10.0, calls_back=True), 40_000.0, 300.0),  # a call back may be lost
    (Pending("p", 1.0, exact=True), 40_000.0, 1.0),  # the provider has said so
])  # fmt: skip
def test_how_long_a_poll_waits(pending: Pending, age: float, pause: float) -> None:
    assert poll_pause(pending, age) == pytest.approx(pause)


def test_an_answer_is_news_unless_the_id_is_the_one_that_is_known() -> None:
    waiting = replace(CLAIM, live=live("accepted"))
    assert tells_nothing_new(waiting, Pending("p", 1.0, 50))
    assert not tells_nothing_new(waiting, Pending("p~idle"))
    assert not tells_nothing_new(replace(CLAIM, live=live("unknown")._replace(provider_job_id="p")), Pending("p"))
    assert not tells_nothing_new(CLAIM, Pending("p"))
