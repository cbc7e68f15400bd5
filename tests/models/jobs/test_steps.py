"""Steps of a living job: what a claim says, how a job is let go, and which the scheduler looks for."""

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from uuid import UUID, uuid4

import pytest

from common.settings import settings
from models.db import transaction
from models.jobs import cancel, facts, steps
from models.jobs.ending import AttemptEnd
from models.jobs.facts import NOWHERE, FactResult
from models.jobs.steps import Claim, LiveAttempt
from tests.models.hands import change, later, while_locked
from tests.models.jobs.standing import accepted, begun, delivered, lapse, parked_job, requeued, run_of, wakes_in
from tests.support import account, assert_books_are_clean, claimed, model, one, placed, rows

pytestmark = pytest.mark.usefixtures("database")

LOCK_RUN = "select 1 from job_runs where job_id = %s for update"
ROUTES = [
    {"provider": "sketch", "model": "image", "options": {"instant": True}},
    {"provider": "router", "model": "vendor/image"},
]


def claim_of(job_id: UUID, owner: str = "tester") -> Claim | None:
    with transaction() as conn:
        return steps.claim(conn, job_id, owner)


def failed_late(claim: Claim, *, next_route: int = 0) -> None:
    """The claim's lease is lost, and then its provider's failure is heard: the job is due, without a live attempt."""
    lapse(claim.job_id)
    with transaction() as conn:
        assert steps.rescue(conn, claim.job_id, claim.token) is not None
        end = AttemptEnd(1, "failed", "broken", "it broke")
        assert facts.fail(conn, claim, end, next_route=next_route, spends_attempt=True) is FactResult.LATE


# A claim


def test_a_first_claim_says_what_is_to_be_made_and_begins_the_first_attempt() -> None:
    job_id = placed(account(amount=5), model(price={"credits": 3}, timeout_seconds=100), {"prompt": "a lighthouse"})
    claim = claimed(job_id, "worker one")
    assert (claim.input["prompt"], claim.price_credits, claim.queue) == ("a lighthouse", 3, "interactive")
    assert (claim.owner, claim.token, claim.attempts, claim.attempts_spent) == ("worker one", 1, 1, 1)
    assert claim.live == LiveAttempt(1, 0, "sketch", "intent")
    assert (claim.begins, claim.exhausted, claim.cancel_requested) == (True, False, False)
    assert claim.seconds_left == pytest.approx(100, abs=1)
    assert run_of(job_id, "status", "lease_owner") == ("running", "worker one")
    assert wakes_in(job_id) == pytest.approx(settings().lease_seconds, abs=5)


def test_a_later_claim_goes_on_with_the_same_attempt_and_the_same_time_limit() -> None:
    first = accepted(begun(timeout_seconds=600))
    limit, started = run_of(first.job_id, "deadline_at", "started_at")
    with later(3700 / 3600):
        again = claimed(first.job_id)
        assert (again.token, again.attempts, again.begins) == (2, 1, False)
        assert again.live is not None
        assert again.live[:5] == (1, 0, "sketch", "accepted", "p")
        assert again.live.age_seconds == pytest.approx(3700, abs=5)
        assert again.seconds_left == pytest.approx(600 - 3700, abs=5)
    assert run_of(first.job_id, "deadline_at", "started_at") == (limit, started)


def test_a_claim_that_takes_over_a_delivered_result_says_where_it_lies_and_for_how_long() -> None:
    first = delivered(begun())
    with later(90 / 3600):
        lapse(first.job_id)
        with transaction() as conn:
            assert steps.rescue(conn, first.job_id, first.token) is not None
        again = claimed(first.job_id)
        assert again.live is not None
        assert again.live.delivered == facts_as_kept()
        assert again.live.delivered_age_seconds == pytest.approx(90, abs=5)
        assert not again.begins


def facts_as_kept() -> Any:
    return one("select delivered from attempts")[0]


def test_what_is_not_due_is_claimed_only_once_it_was_rung() -> None:
    job_id = accepted(begun(), after_seconds=60).job_id
    assert claim_of(job_id) is None
    change("update job_runs set rings = 1 where job_id = %s", job_id)
    assert claim_of(job_id) is not None


def test_nobody_claims_a_job_that_is_not_there_or_has_ended() -> None:
    job_id = placed(account(amount=5), model())
    with transaction() as conn:
        assert cancel.cancel(conn, job_id).ended
    assert claim_of(job_id) is None
    assert claim_of(uuid4()) is None


def test_of_many_workers_that_are_rung_one_gets_the_job() -> None:
    job_id, barrier = placed(account(amount=5), model()), threading.Barrier(6)

    def ask(name: str) -> Claim | None:
        barrier.wait()
        return claim_of(job_id, name)

    with ThreadPoolExecutor(6) as pool:
        found = [each for each in pool.map(ask, "abcdef") if each is not None]
    assert [each.token for each in found] == [1]
    assert rows("select number from attempts") == [(1,)]
    assert run_of(job_id, "lease_owner", "attempts") == (found[0].owner, 1)


def test_a_claim_that_waited_while_the_job_changed_hands_leaves_it_alone() -> None:
    """What it would read of the attempts is from before the wait."""
    job_id = placed(account(amount=5), model())

    def change_hands(other: Any) -> None:
        first = steps.claim(other, job_id, "first")
        assert first is not None
        assert steps.release(other, first) is not None

    assert while_locked(LOCK_RUN, [job_id], lambda: claim_of(job_id), change_hands) is None
    assert rows("select number, phase from attempts") == [(1, "intent")]
    again = claim_of(job_id)
    assert again is not None
    assert (again.token, again.begins) == (2, False)


def test_no_attempt_begins_after_one_whose_failure_nothing_would_mend() -> None:
    failed_late(begun(), next_route=NOWHERE)
    claim = claimed(one("select job_id from job_runs")[0])
    assert (claim.live, claim.begins, claim.exhausted) == (None, False, True)
    assert one("select count(*) from attempts") == (1,)


@pytest.mark.parametrize(("allowed", "begins"), [(1, False), (2, True)])
def test_the_last_attempt_is_the_models_last(allowed: int, begins: bool) -> None:
    failed_late(begun(max_attempts=allowed))
    claim = claimed(one("select job_id from job_runs")[0])
    # An attempt that has begun now may be the last one too.
    assert (claim.begins, claim.live is not None, claim.exhausted) == (begins, begins, True)
    assert claim.attempts_spent == allowed


def test_no_attempt_begins_once_the_time_limit_has_come() -> None:
    failed_late(begun())
    change("update job_runs set deadline_at = app_now()")
    claim = claimed(one("select job_id from job_runs")[0])
    assert (claim.live, claim.begins, claim.exhausted) == (None, False, False)
    assert claim.seconds_left <= 0


def test_no_attempt_begins_for_a_job_that_is_to_be_canceled() -> None:
    claim = begun()
    with transaction() as conn:
        assert not cancel.cancel(conn, claim.job_id).ended
    failed_late(claim)
    again = claimed(claim.job_id)
    assert (again.live, again.begins, again.cancel_requested) == (None, False, True)


@pytest.mark.parametrize(("next_route", "provider"), [(0, "sketch"), (1, "router"), (7, "router")])
def test_an_attempt_takes_the_route_it_was_put_back_for_or_the_last_there_is(next_route: int, provider: str) -> None:
    failed_late(begun(routes=ROUTES), next_route=next_route)
    claim = claimed(one("select job_id from job_runs")[0])
    assert claim.live is not None
    assert (claim.live.provider, claim.live.route) == (provider, min(next_route, 1))


def test_an_attempt_goes_another_way_only_for_whoever_holds_the_job() -> None:
    claim = begun(routes=ROUTES)
    with transaction() as conn:
        assert not steps.reroute(conn, claim, 2, 1), "there is no second attempt"
        assert steps.reroute(conn, claim, 1, 1)
    assert one("select provider, route from attempts") == ("router", 1)
    lapse(claim.job_id)
    with transaction() as conn:
        assert steps.rescue(conn, claim.job_id, claim.token) is not None
        assert not steps.reroute(conn, claim, 1, 0)
    assert one("select provider, route from attempts") == ("router", 1)


# Letting go

WAITS = [
    # called back, to be canceled, known to the claim, seconds to the limit, due in
    pytest.param(False, False, False, 600, 60, id="as long as was said"),
    pytest.param(True, False, False, 600, 0, id="it was called back"),
    pytest.param(False, True, False, 600, 0, id="a cancel that the claim did not know of"),
    pytest.param(False, True, True, 600, 60, id="a cancel that it knew of"),
    pytest.param(True, True, True, 600, 0, id="called back besides"),
    pytest.param(False, False, False, 20, 20, id="no longer than its time limit"),
    pytest.param(False, False, False, -20, 60, id="the limit is past"),
]


@pytest.mark.parametrize(("called", "cancels", "knows", "limit", "due"), WAITS)
@pytest.mark.parametrize("by", ["wait", "accept"])
def test_a_job_that_is_let_go_is_due_when_there_is_something_to_do(
    by: str, called: bool, cancels: bool, knows: bool, limit: int, due: int
) -> None:
    claim = begun()
    if cancels:
        with transaction() as conn:
            assert cancel.cancel(conn, claim.job_id).rings == []
    if knows:
        change("update job_runs set lease_owner = null, wake_at = app_now() where job_id = %s", claim.job_id)
        claim = claimed(claim.job_id)
        assert claim.cancel_requested
    change(
        "update job_runs set called_back = %s, deadline_at = app_now() + make_interval(secs => %s), rings = 3",
        called, limit,
    )  # fmt: skip
    with transaction() as conn:
        if by == "wait":
            assert steps.wait(conn, claim, after_seconds=60, reason="not yet")
        else:
            told = facts.accept(conn, claim, 1, provider_job_id="p", after_seconds=60, progress=None)
            assert told is FactResult.MINE
    assert wakes_in(claim.job_id) == pytest.approx(due, abs=5)
    assert run_of(claim.job_id, "lease_owner", "rings", "token") == (None, 0, claim.token)


def test_a_job_that_waits_keeps_its_progress_until_more_is_known() -> None:
    claim = begun()
    for progress, shown in ((30, 30), (None, 30), (31, 31)):
        with transaction() as conn:
            told = facts.accept(conn, claim, 1, provider_job_id="p", after_seconds=0, progress=progress)
            assert told is FactResult.MINE
        claim = claimed(claim.job_id)
        with transaction() as conn:
            assert steps.wait(conn, claim, after_seconds=0, reason="rendering")
        assert run_of(claim.job_id, "progress", "reason") == (shown, "rendering")
        claim = claimed(claim.job_id)


def test_tries_after_the_limit_are_counted_until_somebody_answers_or_another_attempt_begins() -> None:
    claim = begun()
    for late, counted in ((False, 0), (True, 1), (False, 1), (True, 2)):
        with transaction() as conn:
            assert steps.wait(conn, claim, after_seconds=0, reason="no answer", late=late)
        claim = claimed(claim.job_id)
        assert claim.late_tries == counted
    with transaction() as conn:
        facts.accept(conn, claim, 1, provider_job_id="p", after_seconds=0, progress=None)
    claim = claimed(claim.job_id)
    assert claim.late_tries == 0
    with transaction() as conn:
        assert steps.wait(conn, claim, after_seconds=0, reason="no answer", late=True)
    claim = claimed(claim.job_id)
    requeued(claim)
    change("update job_runs set dispatched = true, wake_at = app_now() where job_id = %s", claim.job_id)
    assert (claimed(claim.job_id).late_tries, run_of(claim.job_id, "late_tries")) == (0, (0,))


@pytest.mark.parametrize(("called", "cancels", "due"), [(False, False, 60), (True, False, 0), (False, True, 0)])
def test_a_job_whose_answer_was_lost_is_parked_until_it_can_be_asked(called: bool, cancels: bool, due: int) -> None:
    claim = begun()
    if cancels:
        with transaction() as conn:
            cancel.cancel(conn, claim.job_id)
    change("update job_runs set called_back = %s", called)
    parked_job(claim, after_seconds=60)
    assert run_of(claim.job_id, "status", "lease_owner", "reason") == ("reconciling", None, "the answer was lost")
    assert one("select phase, ended_at from attempts") == ("unknown", None)
    assert wakes_in(claim.job_id) == pytest.approx(due, abs=5)


def test_a_worker_that_stops_gives_its_step_to_whoever_comes_next() -> None:
    claim = begun()
    with transaction() as conn:
        ring = steps.release(conn, claim)
        assert ring == (claim.job_id, "interactive")
        assert steps.release(conn, claim) is None, "it was let go already"
    again = claimed(claim.job_id, "next")
    assert (again.token, again.begins) == (claim.token + 1, False)
    assert again.live is not None
    assert again.live.phase == "intent"


def test_a_first_claim_that_is_given_back_was_never_made() -> None:
    claim = begun()
    with transaction() as conn:
        assert steps.give_back(conn, claim.job_id, "somebody else") is None
        assert steps.give_back(conn, claim.job_id, claim.owner) == (claim.job_id, "interactive")
    assert rows("select 1 from attempts") == []
    assert run_of(claim.job_id, "attempts", "attempts_spent", "deadline_at", "lease_owner") == (0, 0, None, None)
    again = claimed(claim.job_id)
    assert (again.attempts, again.begins, again.seconds_left > 0) == (1, True, True)


def test_a_second_attempt_that_is_given_back_leaves_the_first_and_the_limit() -> None:
    first = begun()
    failed_late(first)
    second = claimed(first.job_id)
    limit = run_of(first.job_id, "deadline_at")
    assert limit != (None,)
    with transaction() as conn:
        assert steps.give_back(conn, first.job_id, second.owner) is not None
    assert rows("select number, phase from attempts") == [(1, "failed")]
    assert run_of(first.job_id, "attempts", "attempts_spent") == (1, 1)
    assert run_of(first.job_id, "deadline_at") == limit


def test_a_claim_that_only_looks_after_an_attempt_takes_none_off_the_record() -> None:
    first = begun()
    lapse(first.job_id)
    with transaction() as conn:
        assert steps.rescue(conn, first.job_id, first.token) is not None
    again = claimed(first.job_id)  # the call of the first may have been made
    with transaction() as conn:
        assert steps.give_back(conn, again.job_id, again.owner) is not None
    assert rows("select number, phase from attempts") == [(1, "intent")]
    assert run_of(first.job_id, "attempts", "attempts_spent") == (1, 1)
    assert run_of(first.job_id, "deadline_at") != (None,)


@pytest.mark.parametrize(("pause", "limit", "due"), [(0, 600, 0), (30, 600, 30), (30, 10, 10), (30, -10, 0)])
def test_what_is_given_back_waits_no_longer_than_its_limit(pause: float, limit: float, due: float) -> None:
    claim = begun()
    change("update job_runs set deadline_at = app_now() + make_interval(secs => %s)", limit)
    with transaction() as conn:
        assert steps.give_back(conn, claim.job_id, claim.owner, after_seconds=pause) is not None
    assert wakes_in(claim.job_id) == pytest.approx(due, abs=5)


# Leases


def test_leases_are_kept_alive_for_those_who_still_hold_them() -> None:
    offer = model()
    held, canceled, lost = (claimed(placed(account(amount=5), offer)) for _ in range(3))
    with transaction() as conn:
        assert not cancel.cancel(conn, canceled.job_id).ended
    change("update job_runs set token = token + 1 where job_id = %s", lost.job_id)
    change("update job_runs set wake_at = app_now() + interval '1 second'")
    leases = [(each.job_id, each.token, each.owner) for each in (held, canceled, lost)]
    with transaction() as conn:
        kept = steps.extend(conn, [*leases, (uuid4(), 1, "tester"), (held.job_id, held.token, "impostor")])
        assert steps.extend(conn, []) == {}
        assert steps.cancel_requests(conn, [each[0] for each in leases]) == {canceled.job_id}
        assert steps.cancel_requests(conn, [held.job_id]) == set()
    assert kept == {(held.job_id, held.token): False, (canceled.job_id, canceled.token): True}
    lease = settings().lease_seconds
    assert wakes_in(held.job_id) == pytest.approx(lease, abs=5)
    assert wakes_in(lost.job_id) <= 1, "a lease that is lost was kept alive"


def test_why_the_newest_attempt_failed_is_known_also_where_little_was_said() -> None:
    first = begun()
    job_id = first.job_id
    with transaction() as conn:
        assert steps.last_error(conn, uuid4()) == ("failed", "no attempt was made")
    failed_late(first)
    with transaction() as conn:
        assert steps.last_error(conn, job_id) == ("broken", "it broke")
    claimed(job_id)
    with transaction() as conn:
        assert steps.last_error(conn, job_id) == ("failed", "the attempt failed")


def test_lapsed_leases_are_found_oldest_first_and_nothing_else_is() -> None:
    offer = model()
    older, newer, held = (claimed(placed(account(amount=5), offer)) for _ in range(3))
    polled = accepted(claimed(placed(account(amount=5), offer)), provider_job_id="q")
    for each, ago in ((older, 60), (newer, 30), (polled, 90)):
        change(
            "update job_runs set wake_at = app_now() - make_interval(secs => %s) where job_id = %s", ago, each.job_id
        )
    with transaction() as conn:
        found = steps.lapsed(conn, 10)
        assert found == [(each.job_id, each.account_id, each.token, 0) for each in (older, newer)]
        assert steps.lapsed(conn, 1) == found[:1]
        assert steps.lapsed(conn, 1, without=[older.job_id]) == found[1:]
        assert steps.rescue(conn, held.job_id, held.token) is None, "its lease has not lapsed"
        assert steps.rescue(conn, polled.job_id, polled.token) is None, "nobody holds it"
        assert steps.rescue(conn, older.job_id, older.token + 1) is None
        assert steps.rescue(conn, older.job_id, older.token) == (older.job_id, "interactive")
        assert steps.rescue(conn, older.job_id, older.token) is None, "once"
    assert run_of(older.job_id, "token", "rescues", "rings", "lease_owner") == (older.token + 1, 1, 1, None)
    assert wakes_in(older.job_id) == pytest.approx(settings().ring_again_seconds, abs=5)


def test_a_lease_that_is_renewed_while_a_rescue_waits_is_not_taken() -> None:
    claim = begun()
    lapse(claim.job_id)

    def rescue() -> object:
        with transaction() as conn:
            return steps.rescue(conn, claim.job_id, claim.token)

    def renew(other: Any) -> None:
        assert steps.extend(other, [(claim.job_id, claim.token, claim.owner)])

    assert while_locked(LOCK_RUN, [claim.job_id], rescue, renew) is None
    assert run_of(claim.job_id, "lease_owner", "token", "rescues") == (claim.owner, claim.token, 0)


# What waits for a slot


def test_accounts_with_retries_that_are_due_are_found_once_each_and_their_retries_join_the_line() -> None:
    offer, due, later = model(), account(amount=9, plan="studio"), account(amount=9)
    for _ in range(2):
        requeued(claimed(placed(due, offer)))
    requeued(claimed(placed(later, offer)), after_seconds=60)
    lapsed = begun(due)  # a lapsed lease is a rescue's business
    lapse(lapsed.job_id)
    with transaction() as conn:
        assert steps.accounts_to_dispatch(conn, 10) == [due]
        assert steps.accounts_to_dispatch(conn, 10, without=[due]) == []
        assert steps.accounts_to_dispatch(conn, 0) == []
        assert steps.requeue_due(conn, later) == 0
        assert steps.requeue_due(conn, due) == 2
        assert steps.requeue_due(conn, due) == 0, "twice"
        assert steps.accounts_to_dispatch(conn, 10) == []
    assert rows("select count(*) from job_runs where not dispatched and wake_at is null") == [(2,)]
    assert_books_are_clean()


def test_accounts_with_room_are_those_whose_plan_has_grown_and_whose_jobs_wait() -> None:
    offer = model()
    waiting, idle, full = account(amount=9), account(amount=9), account(amount=9, plan="starter")
    for who, count in ((waiting, 3), (idle, 1), (full, 4)):
        for _ in range(count):
            last = placed(who, offer)
        if who is idle:
            requeued(claimed(last), after_seconds=3600)  # it waits for its hour, not for a slot
    with transaction() as conn:
        assert steps.accounts_with_room(conn, 10) == []
        conn.execute("update plans set slots = slots + 1 where id = 'free'")
        assert steps.accounts_with_room(conn, 10) == [waiting]
        assert steps.accounts_with_room(conn, 10, without=[waiting]) == []
        conn.execute("update plans set slots = slots + 1 where id = 'starter'")
        assert steps.accounts_with_room(conn, 10) == sorted([waiting, full])
        assert steps.accounts_with_room(conn, 1) == sorted([waiting, full])[:1]
