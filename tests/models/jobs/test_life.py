"""Claims, tokens, retries and cancels: each change names the state and the token that it expects."""

import pytest

from common.errors import NotCancelable, NotFound
from models.db import transaction
from models.jobs import cancel, ending, facts, steps
from models.jobs.ending import AttemptEnd, Ending
from scheduler.duties import jobs
from tests.support import account, assert_books_are_clean, balance, claimed, model, one, placed, rows

pytestmark = pytest.mark.usefixtures("database")


def end(claim, ended="succeeded", **fields):
    attempt = AttemptEnd(claim.live.number, "done" if ended == "succeeded" else "failed")
    with transaction() as conn:
        return ending.end(
            conn, claim.account_id, claim.job_id, Ending(ended, attempt=attempt, **fields), token=claim.token
        )


def put_back(claim, after=0.0, *, spends=True):
    with transaction() as conn:
        return ending.put_back(
            conn, claim.account_id, claim.job_id, token=claim.token, after_seconds=after, reason="because",
            attempt=AttemptEnd(claim.live.number, "failed", "oops"), spends_attempt=spends,
        )  # fmt: skip


def test_a_claimed_job_cannot_be_claimed_again() -> None:
    job_id = placed(account(amount=5), model())
    claim = claimed(job_id)
    assert claim.token == 1
    with transaction() as conn:
        assert steps.claim(conn, job_id, "another") is None


def test_a_job_that_waits_for_a_slot_cannot_be_claimed_and_takes_the_slot_that_comes_free() -> None:
    who, offer = account(amount=9, plan="free"), model()
    first, second, third = (placed(who, offer) for _ in range(3))
    with transaction() as conn:
        assert steps.claim(conn, third, "tester") is None
    done = end(claimed(first), cost_credits=1)
    assert [ring.job_id for ring in done.rings] == [third]
    assert claimed(third).token == 1
    assert one("select slots_in_use from accounts") == (2,)
    end(claimed(second), "failed", error_code="x")
    assert_books_are_clean()


def test_higher_priority_goes_first_and_a_full_model_holds_up_no_other() -> None:
    who = account(amount=50, plan="free")
    narrow, wide = model("narrow", slots=1), model("wide")
    first, second = placed(who, narrow), placed(who, wide)
    blocked = placed(who, narrow, priority=50)
    low, high = placed(who, wide, priority=1), placed(who, wide, priority=9)
    assert [r.job_id for r in end(claimed(second), cost_credits=1).rings] == [high]
    assert [r.job_id for r in end(claimed(high), cost_credits=1).rings] == [low]
    assert [r.job_id for r in end(claimed(first), cost_credits=1).rings] == [blocked]
    assert_books_are_clean()


def test_a_stale_claim_can_change_nothing() -> None:
    job_id = placed(account(amount=5), model())
    stale = claimed(job_id)
    with transaction() as conn:
        conn.execute("update job_runs set wake_at = app_now() - interval '1 second'")
    assert jobs.rescue(10) == 1
    fresh = claimed(job_id, "another")
    assert fresh.token > stale.token
    assert end(stale, cost_credits=1) is None
    assert end(stale, "failed", error_code="x") is None
    assert put_back(stale) is None
    with transaction() as conn:
        assert steps.extend(conn, [(job_id, stale.token, stale.owner)]) == {}
        assert steps.release(conn, stale) is None
        assert not steps.wait(conn, stale, after_seconds=1, reason=None)
        assert not steps.wait_unknown(conn, stale, 1, after_seconds=1, reason="x")
        assert steps.give_back(conn, job_id, stale.owner) is None
    assert end(fresh, cost_credits=1).ended == "succeeded"
    assert_books_are_clean()


def test_who_was_rescued_from_can_change_nothing_before_the_next_claim_either() -> None:
    job_id = placed(who := account(amount=5), model())
    stale = claimed(job_id)
    with transaction() as conn:
        conn.execute("update job_runs set wake_at = app_now() - interval '1 second'")
    assert jobs.rescue(10) == 1
    before = one("select token, status, rescues, wake_at from job_runs")
    assert end(stale, cost_credits=1) is None
    assert end(stale, "failed", error_code="x") is None
    assert put_back(stale) is None
    assert one("select token, status, rescues, wake_at from job_runs") == before
    assert balance(who) == (4, 1)
    assert_books_are_clean()


def test_a_job_rescued_too_often_fails_and_is_refunded() -> None:
    who = account(amount=5)
    job_id = placed(who, model())
    for _ in range(6):
        claimed(job_id)
        with transaction() as conn:
            conn.execute("update job_runs set wake_at = app_now() - interval '1 second'")
        assert jobs.rescue(10) == 1
    assert one("select ended, error_code from jobs") == ("failed", "worker_lost")
    assert one("select phase from attempts") == ("abandoned",)
    assert balance(who) == (5, 0)
    assert_books_are_clean()


def test_a_retry_gives_its_slot_up_and_goes_to_the_head_of_the_line_when_due() -> None:
    who, offer = account(amount=9), model()
    first, _second, third, fourth = (placed(who, offer) for _ in range(4))
    claim = claimed(first)
    done = put_back(claim)
    assert [ring.job_id for ring in done.rings] == [third]
    assert jobs.retry_due(10) == 0  # due, but no slot is free
    done = end(claimed(third), cost_credits=1)
    assert [ring.job_id for ring in done.rings] == [first]
    assert claimed(first).attempts_spent == 2
    assert one("select dispatched from job_runs where job_id = %s", fourth) == (False,)
    assert_books_are_clean()


def test_a_providers_limit_spends_no_attempt() -> None:
    job_id = placed(account(amount=5), model())
    claim = claimed(job_id)
    put_back(claim, spends=False)
    assert jobs.retry_due(10) == 1
    again = claimed(job_id)
    assert (again.attempts, again.attempts_spent, again.live.number) == (2, 1, 2)


def test_canceling_before_the_start_refunds_at_once() -> None:
    who = account(amount=5)
    job_id = placed(who, model())
    with transaction() as conn:
        assert cancel.cancel(conn, job_id).ended
    assert balance(who) == (5, 0)
    with transaction() as conn:
        assert steps.claim(conn, job_id, "late") is None
        assert cancel.cancel(conn, job_id).ended  # again: nothing changes
    assert_books_are_clean()


@pytest.mark.parametrize(("policy", "left"), [("refund", 5), ("charge", 1)])
def test_a_result_that_meets_a_cancel_is_dropped_and_paid_as_the_model_says(policy: str, left: int) -> None:
    who = account(amount=5)
    job_id = placed(who, model(price={"credits": 4}, on_cancel=policy))
    claim = claimed(job_id)
    number = claim.live.number
    with transaction() as conn:
        assert not cancel.cancel(conn, job_id, account_id=who).ended
    with transaction() as conn:
        done = ending.end(
            conn, who, job_id, Ending("succeeded", cost_credits=4, attempt=AttemptEnd(number, "done", cost_usd_micros=7)),
            token=claim.token, on_cancel=policy,
        )  # fmt: skip
    assert done.ended == "canceled"
    assert balance(who) == (left, 0)
    assert one("select phase, cost_usd_micros from attempts") == ("done", 7)
    assert_books_are_clean()


def test_an_ended_job_or_somebody_elses_cannot_be_canceled() -> None:
    who, other = account(amount=5), account()
    job_id = placed(who, model())
    with pytest.raises(NotFound), transaction() as conn:
        cancel.cancel(conn, job_id, account_id=other)
    end(claimed(job_id), cost_credits=1)
    with pytest.raises(NotCancelable), transaction() as conn:
        cancel.cancel(conn, job_id)


def test_a_polled_job_keeps_its_slot_and_holds_no_lease() -> None:
    job_id = placed(account(amount=5), model())
    claim = claimed(job_id)
    number = claim.live.number
    with transaction() as conn:
        told = facts.accept(conn, claim, number, provider_job_id="p", after_seconds=60, progress=40)
    assert told is facts.FactResult.MINE
    assert one("select status, lease_owner, dispatched, progress from job_runs") == ("running", None, True, 40)
    with transaction() as conn:
        assert steps.claim(conn, job_id, "early") is None
        conn.execute("update job_runs set wake_at = app_now()")
    assert jobs.ring_due(10) == 0  # left to the pollers for a moment
    with transaction() as conn:
        conn.execute("update job_runs set wake_at = app_now() - interval '10 seconds'")
    assert jobs.ring_due(10) == 1
    assert jobs.ring_due(10) == 0  # rung: not again before its pause
    again = claimed(job_id)
    assert again.live.provider_job_id == "p"


def test_events_are_numbered_without_gaps() -> None:
    who, offer = account(amount=9), model()
    for _ in range(3):
        end(claimed(placed(who, offer)), cost_credits=1)
    numbers = [row[0] for row in rows("select number from events order by number")]
    assert numbers == list(range(1, len(numbers) + 1))
    assert_books_are_clean()
