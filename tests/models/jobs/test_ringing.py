"""Ringing: which jobs are due and held by nobody, with growing pauses until somebody claims them."""

from typing import Any

import pytest

from common.settings import settings
from models.db import transaction
from models.jobs.ringing import Due, due, not_rung
from tests.models.hands import change
from tests.models.jobs.standing import accepted, begun, lapse, parked_job, run_of, wakes_in
from tests.support import account, claimed, model, placed

pytestmark = pytest.mark.usefixtures("database")


def rung(limit: int = 10) -> list[Due]:
    with transaction() as conn:
        return due(conn, limit)


def unsent(*jobs: Due, after: float = 1.0) -> None:
    with transaction() as conn:
        not_rung(conn, jobs, after)


def polled(name: str = "p") -> Any:
    claim = accepted(begun(), provider_job_id=name)
    lapse(claim.job_id)
    return claim


def test_a_poll_that_is_due_is_rung_and_then_has_a_pause() -> None:
    claim = polled()
    assert rung() == [Due(claim.job_id, "interactive", claim.token, again=False)]
    assert rung() == []
    assert wakes_in(claim.job_id) == pytest.approx(settings().ring_again_seconds, abs=5)


def test_a_job_that_nobody_claims_is_rung_again_and_the_pauses_grow_to_four_times_the_first() -> None:
    claim, pauses = polled(), []
    for number in range(5):
        [found] = rung()
        assert found.again is (number > 0)
        pauses.append(wakes_in(claim.job_id) / settings().ring_again_seconds)
        lapse(claim.job_id)
    assert pauses == pytest.approx([1, 2, 4, 4, 4], abs=0.3)
    claimed(claim.job_id)
    assert run_of(claim.job_id, "rings") == (0,), "whoever claims it ends that"


def test_a_first_message_that_was_lost_is_sent_again() -> None:
    job_id = placed(account(amount=5), model())
    assert rung() == [], "it was rung when it was ordered, just now"
    lapse(job_id)
    assert rung() == [Due(job_id, "interactive", 0, again=True)]


def test_a_parked_job_whose_pause_is_over_is_rung() -> None:
    claim = parked_job(begun(), after_seconds=0)
    assert [each.job_id for each in rung()] == [claim.job_id]


def test_what_a_worker_holds_or_what_waits_for_a_slot_is_not_rung() -> None:
    held = begun()
    lapse(held.job_id)
    who, offer = account(amount=9), model()
    waiting = [placed(who, offer) for _ in range(3)][-1]
    assert run_of(waiting, "dispatched") == (False,)
    change("update job_runs set wake_at = app_now() - interval '1 hour' where job_id = %s", waiting)
    assert rung() == []


def test_the_one_that_waits_longest_is_rung_first_and_no_more_than_so_many() -> None:
    claims = [polled(str(number)) for number in range(3)]
    for claim, seconds in zip(claims, (10, 30, 20), strict=True):
        change(
            "update job_runs set wake_at = app_now() - make_interval(secs => %s) where job_id = %s",
            seconds, claim.job_id,
        )  # fmt: skip
    assert {each.job_id for each in rung(2)} == {claims[1].job_id, claims[2].job_id}
    assert [each.job_id for each in rung(2)] == [claims[0].job_id]


def test_what_another_has_in_hand_is_passed_over_and_not_waited_for() -> None:
    busy, free = polled("a"), polled("b")
    with transaction() as other:
        other.execute("select 1 from job_runs where job_id = %s for update", [busy.job_id])
        assert [each.job_id for each in rung()] == [free.job_id]
    assert [each.job_id for each in rung()] == [busy.job_id]


def test_a_ring_that_could_not_be_sent_does_not_count() -> None:
    claim = polled()
    [found] = rung()
    unsent(found, after=2)
    assert run_of(claim.job_id, "rings") == (0,)
    assert wakes_in(claim.job_id) == pytest.approx(2, abs=1)
    lapse(claim.job_id)
    [found] = rung()
    assert not found.again
    unsent(found, found)
    unsent(found)
    assert run_of(claim.job_id, "rings") == (0,), "below none there is nothing"


def test_a_job_that_was_claimed_before_its_ring_was_taken_back_is_let_be() -> None:
    claim = polled()
    [found] = rung()
    holder = claimed(claim.job_id)
    before = run_of(claim.job_id, "rings", "wake_at", "lease_owner")
    unsent(found)
    assert run_of(claim.job_id, "rings", "wake_at", "lease_owner") == before
    unsent(found._replace(token=holder.token))
    assert run_of(claim.job_id, "rings", "wake_at", "lease_owner") == before, "it is held, whatever its token"
