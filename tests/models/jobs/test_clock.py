"""The database's clock: what counts as a jump, and what one moves."""

from datetime import datetime
from typing import Any
from uuid import UUID

import pytest

from common import uptime
from common.settings import settings
from models.db import transaction
from models.events import endpoints, sending
from models.jobs import clock
from models.jobs.clock import ClockPace, Shift, tolerance_seconds
from models.jobs.steps import Claim
from tests.models.hands import change, later
from tests.models.jobs.standing import accepted, begun, run_of, wakes_in
from tests.receivers import tell
from tests.support import account, claimed, model, one, placed, rows

HOUR = 3600.0

# Whether it runs evenly


def test_the_first_word_of_a_clock_is_no_jump_and_even_ones_after_it_are_none() -> None:
    pace = ClockPace()
    assert [pace.hear(1_000_000 + at, at, at) for at in (100.0, 200.0, 5000.0)] == [0.0, 0.0, 0.0]
    assert pace.is_even()
    assert pace.heard_at == 5000.0


@pytest.mark.parametrize("by", [HOUR, -HOUR, 4.0, -4.0])
def test_a_clock_that_was_set_has_jumped_once_by_as_much(by: float) -> None:
    pace = ClockPace()
    pace.hear(1_000_000, 0.0, 0.0)
    assert pace.hear(1_000_010 + by, 10.0, 10.0) == pytest.approx(by)
    assert pace.hear(1_000_020 + by, 20.0, 20.0) == 0.0


@pytest.mark.parametrize("share", [0.9, -0.9])
def test_a_clock_that_is_brought_right_slowly_has_not_jumped(share: float) -> None:
    pace, off = ClockPace(), 0.0
    for number in range(20):
        assert pace.hear(1_000_000 + number + off, float(number), float(number)) == 0.0
        off += share * tolerance_seconds()
    assert pace.is_even()


def test_an_answer_that_took_long_tells_a_jump_only_where_it_is_longer_than_that() -> None:
    pace = ClockPace()
    pace.hear(1_000_000, 0.0, 0.0)
    assert pace.hear(1_000_000 + 50, 10.0, 50.0) == 0.0, "it may have been said at any moment of forty seconds"
    assert pace.heard_at == 0.0, "and says nothing"
    assert pace.hear(1_000_000 + 60, 60.0, 60.0) == 0.0
    assert pace.hear(1_000_000 + HOUR + 80, 60.0, 100.0) == pytest.approx(HOUR)


def test_after_a_jump_nothing_is_even_for_one_lease(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 0.0
    monkeypatch.setattr(uptime, "seconds", lambda: now)
    pace, lease = ClockPace(), settings().lease_seconds
    pace.hear(1_000_000, 0.0, 0.0)
    pace.hear(1_000_010 + HOUR, 10.0, 10.0)
    assert not pace.is_even()
    now = 10.0 + lease - 0.1
    assert not pace.is_even()
    now = 10.0 + lease
    assert pace.is_even()


# What is noted of one


@pytest.fixture
def at(database: str) -> float:
    """Now, by the database."""
    with transaction() as conn:
        return clock.now(conn)


def noted(by: float, moment: float, within: float = 60.0) -> bool:
    with transaction() as conn:
        return clock.note(conn, by, moment, within)


def test_a_jump_is_noted_by_the_first_who_sees_it(at: float) -> None:
    assert noted(HOUR, at)
    assert not noted(HOUR + 0.9, at + 59), "it is the same"
    assert noted(HOUR + 1.1, at), "another"
    assert noted(-HOUR, at)
    assert noted(HOUR, at + 61)
    assert noted(HOUR, at - 61)
    assert len(rows("select 1 from clock_jumps")) == 5


def test_the_newest_jumps_are_remembered(at: float, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clock, "KEPT", 2)
    for number in range(5):
        assert noted(10.0 * (number + 1), at)
    assert rows("select by_seconds from clock_jumps order by id") == [(40.0,), (50.0,)]


def test_the_databases_time_is_the_one_that_is_set(at: float) -> None:
    with later(2), transaction() as conn:
        assert clock.now(conn) - at == pytest.approx(2 * HOUR, abs=30)


# What it moves


def shifted(by: float, moment: float, gap: float = 5.0, after: UUID | None = None, limit: int = 10) -> list[Shift]:
    with transaction() as conn:
        return clock.shifts(conn, by, moment, gap, after, limit)


def moved(by: float, moment: float, gap: float = 5.0) -> int:
    with transaction() as conn:
        return clock.apply(conn, clock.shifts(conn, by, moment, gap, None, 10))


def old_job(wake: float, limit: float = 300) -> Claim:
    """A job that was begun long before: its times are no longer those of one that begins now."""
    claim = accepted(begun(timeout_seconds=600))
    change(
        """update job_runs set wake_at = app_now() + make_interval(secs => %s),
                  deadline_at = app_now() + make_interval(secs => %s) where job_id = %s""",
        wake, limit, claim.job_id,
    )  # fmt: skip
    return claim


def limit_in(job_id: UUID) -> float:
    return float(
        one("select extract(epoch from deadline_at - app_now())::float from job_runs where job_id = %s", job_id)[0]
    )


def test_set_forward_a_limit_moves_and_a_wake_comes_sooner_at_most(at: float) -> None:
    claim = old_job(30)
    assert moved(HOUR, at + HOUR) == 1
    assert limit_in(claim.job_id) == pytest.approx(300 + HOUR, abs=10)
    assert wakes_in(claim.job_id) == pytest.approx(30, abs=10)


def test_set_forward_a_wake_that_still_lies_ahead_is_not_put_off(at: float) -> None:
    claim = old_job(3 * HOUR, limit=9 * HOUR)
    assert moved(HOUR, at + HOUR) == 1
    assert wakes_in(claim.job_id) == pytest.approx(3 * HOUR, abs=10)


def test_set_back_a_limit_and_a_wake_that_lies_ahead_move_with_it(at: float) -> None:
    claim = old_job(200)
    assert moved(-HOUR, at - HOUR) == 1
    assert limit_in(claim.job_id) == pytest.approx(300 - HOUR, abs=10)
    assert wakes_in(claim.job_id) == pytest.approx(200 - HOUR, abs=10)


def test_a_wake_is_never_moved_to_before_the_new_now_nor_a_lease_cut_short(at: float) -> None:
    past, held = old_job(-100), begun()
    assert moved(-HOUR, at - HOUR) >= 1
    assert wakes_in(past.job_id) == pytest.approx(-HOUR, abs=10)
    assert wakes_in(held.job_id) == pytest.approx(settings().lease_seconds - HOUR, abs=10)


def test_what_was_written_since_the_clock_was_right_is_let_be(at: float) -> None:
    fresh = begun(timeout_seconds=600)
    before = run_of(fresh.job_id, "wake_at", "deadline_at")
    [shift] = shifted(HOUR, at)
    assert (shift.new_wake_at, shift.new_deadline_at) == before
    [shift] = shifted(HOUR, at + 20, gap=60)
    assert shift.new_deadline_at == before[1], "it may have been written in the minute before"
    [shift] = shifted(HOUR, at + 20, gap=5)
    assert shift.new_deadline_at != before[1]


def test_a_job_without_a_limit_or_a_wake_has_nothing_to_be_moved(at: float) -> None:
    who, offer = account(amount=9), model()
    waiting = [placed(who, offer) for _ in range(3)][-1]
    found = {each.job_id: each for each in shifted(-HOUR, at - HOUR)}
    assert found[waiting][1:] == (None, None, None, None)
    with transaction() as conn:
        assert clock.apply(conn, [found[waiting]]) == 0
        assert clock.apply(conn, []) == 0


def test_jobs_are_walked_in_the_order_of_their_ids_page_by_page(at: float) -> None:
    offer = model()
    jobs = sorted(claimed(placed(account(amount=5), offer)).job_id for _ in range(3))
    assert [each.job_id for each in shifted(HOUR, at, limit=2)] == jobs[:2]
    assert [each.job_id for each in shifted(HOUR, at, after=jobs[1], limit=2)] == jobs[2:]
    assert shifted(HOUR, at, after=jobs[2]) == []


def test_a_time_that_was_changed_meanwhile_is_not_overwritten(at: float) -> None:
    claim = old_job(200)
    wanted = shifted(-HOUR, at - HOUR)
    change("update job_runs set wake_at = app_now() + interval '7 seconds'")
    with transaction() as conn:
        assert clock.apply(conn, wanted) == 1
        assert clock.apply(conn, wanted) == 0, "twice"
    assert wakes_in(claim.job_id) == pytest.approx(7, abs=5)
    assert limit_in(claim.job_id) == pytest.approx(300 - HOUR, abs=10)


# delivery queues


def queue(seconds: float, **columns: Any) -> None:
    """A queue of one account's endpoint with one delivery on it, both due in so many seconds."""
    who = account()
    with transaction() as conn:
        endpoints.create(conn, who, "https://example.com/hook", [])
    tell(who)
    change("update deliveries set next_at = app_now() + make_interval(secs => %s)", seconds)
    change(
        """update delivery_queues set wake_at = app_now() + make_interval(secs => %s),
                  paused_until = app_now() + make_interval(secs => %s), leased_by = %s""",
        seconds, seconds, columns.get("leased_by"),
    )  # fmt: skip


def line_in() -> tuple[float, float, float]:
    """In how many seconds the queue wakes, its pause ends and its delivery is due."""
    return one(  # type: ignore[return-value]  # three columns
        """select extract(epoch from l.wake_at - app_now())::float, extract(epoch from l.paused_until - app_now())::float,
                  extract(epoch from d.next_at - app_now())::float
             from delivery_queues l join deliveries d on d.queue_id = l.id"""
    )


def shift_delivery_queues(by: float, moment: float) -> int:
    with transaction() as conn:
        return clock.shift_delivery_queues(conn, by, moment)


def test_set_back_lines_of_deliveries_wake_when_they_would_have(at: float) -> None:
    queue(2 * HOUR)
    assert shift_delivery_queues(-HOUR, at) == 1
    assert line_in() == pytest.approx((HOUR, HOUR, HOUR), abs=10)


def test_a_line_that_is_near_is_let_be_and_none_is_moved_into_the_past(at: float) -> None:
    queue(5.0)
    assert shift_delivery_queues(-HOUR, at) == 0
    assert line_in()[0] == pytest.approx(5, abs=5)
    change("update delivery_queues set wake_at = app_now() + interval '30 minutes'")
    assert shift_delivery_queues(-HOUR, at) == 1
    assert line_in()[0] == pytest.approx(0, abs=10)


def test_a_lease_on_a_line_keeps_its_length(at: float) -> None:
    queue(HOUR / 2, leased_by="a sender")
    assert shift_delivery_queues(-HOUR, at) == 1
    assert line_in()[0] == pytest.approx(sending.lease_seconds(), abs=10)


# What nobody saw


def mended(limit: int = 10) -> int:
    with transaction() as conn:
        return clock.mend_wakes(conn, limit)


def test_a_wake_is_mended_only_where_no_pause_is_so_long(at: float) -> None:
    longest = clock.LONGEST_WAKE_SECONDS + settings().lease_seconds
    near, far = old_job(longest - 30), old_job_more(longest + 30)
    assert mended() == 1
    assert wakes_in(near.job_id) > longest - 60
    assert wakes_in(far) <= 0
    assert mended() == 0, "twice"


def old_job_more(wake: float) -> UUID:
    claim = accepted(begun(), provider_job_id="another")
    change("update job_runs set wake_at = app_now() + make_interval(secs => %s) where job_id = %s", wake, claim.job_id)
    return claim.job_id


def test_a_lease_that_lies_too_far_ahead_is_one_lease_long_again(at: float) -> None:
    claim = begun()
    change("update job_runs set wake_at = app_now() + interval '9 hours'")
    assert mended() == 1
    assert wakes_in(claim.job_id) == pytest.approx(settings().lease_seconds, abs=5)


def test_no_more_are_mended_than_was_said_and_none_that_another_holds(at: float) -> None:
    offer = model()
    jobs = [claimed(placed(account(amount=5), offer)).job_id for _ in range(3)]
    change("update job_runs set wake_at = app_now() + interval '9 hours'")
    with transaction() as other:
        other.execute("select 1 from job_runs where job_id = %s for update", [jobs[0]])
        assert [mended(1), mended(5)] == [1, 1]
    assert mended() == 1


def test_a_line_that_sleeps_for_longer_than_any_pause_is_woken(at: float) -> None:
    queue(clock.LONGEST_DELIVERY_PAUSE_SECONDS - 60)
    assert mended() == 0
    line_of: datetime = one("select wake_at from delivery_queues")[0]
    change("update delivery_queues set wake_at = %s::timestamptz + interval '2 minutes'", line_of)
    assert mended() == 1
    assert one("select paused_until, wake_at <= app_now() from delivery_queues") == (None, True)
