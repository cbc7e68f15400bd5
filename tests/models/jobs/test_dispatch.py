"""Dispatch: which jobs of an account take its free slots, and which are passed over."""

from uuid import UUID

import pytest

from models.db import transaction
from models.jobs.dispatch import Ring, dispatch
from tests.models.hands import change
from tests.models.jobs.standing import requeued, run_of, wakes_in
from tests.support import account, assert_books_are_clean, claimed, model, one, placed, rows

pytestmark = pytest.mark.usefixtures("database")


def slots(count: int) -> None:
    change("update plans set slots = %s where id = 'free'", count)


def dispatched(who: UUID) -> list[UUID]:
    with transaction() as conn:
        conn.execute("select 1 from accounts where id = %s for no key update", [who])
        return [ring.job_id for ring in dispatch(conn, who)]


def in_use(who: UUID) -> int:
    return int(one("select slots_in_use from accounts where id = %s", who)[0])


def test_as_many_jobs_as_there_are_free_slots_are_dispatched_in_the_order_they_came() -> None:
    who, offer = account(amount=9), model()
    jobs = [placed(who, offer) for _ in range(6)]
    slots(4)
    assert dispatched(who) == jobs[2:4]
    assert in_use(who) == 4
    assert dispatched(who) == [], "no slot is free"
    slots(20)
    assert dispatched(who) == jobs[4:]
    assert in_use(who) == 6, "a slot without a job is not taken"
    assert_books_are_clean()


def test_priority_comes_before_time_and_a_retry_before_both() -> None:
    who, offer = account(amount=9), model()
    tried = claimed(placed(who, offer))
    placed(who, offer)
    low, high, same = (placed(who, offer, priority=n) for n in (0, 9, 9))
    slots(1)
    requeued(tried)
    change("update job_runs set wake_at = null where job_id = %s", tried.job_id)
    slots(5)
    assert dispatched(who) == [tried.job_id, high, same, low]


def test_priority_comes_before_time_among_models_too_while_one_of_them_is_full() -> None:
    who, narrow = account(amount=9), model("narrow", slots=1)
    placed(who, narrow)
    slots(1)
    placed(who, narrow, priority=50)
    early, urgent = placed(who, model("early")), placed(who, model("urgent"), priority=9)
    slots(3)
    assert dispatched(who) == [urgent, early]


def test_a_plan_that_has_shrunk_dispatches_nothing() -> None:
    who, offer = account(amount=9), model()
    for _ in range(4):
        placed(who, offer)
    slots(1)
    assert dispatched(who) == []
    assert in_use(who) == 2


def test_a_full_model_is_passed_over_and_takes_one_when_one_of_its_jobs_has_ended() -> None:
    who = account(amount=9)
    narrow, wide = model("narrow", slots=1), model("wide")
    placed(who, narrow)
    placed(who, wide)
    blocked, _also, free = placed(who, narrow), placed(who, narrow), placed(who, wide)
    slots(4)
    assert dispatched(who) == [free]
    model("narrow", slots=2)
    slots(9)
    assert dispatched(who) == [blocked], "what the model says now counts"
    assert_books_are_clean()


def test_a_model_whose_provider_has_no_room_is_passed_over_until_its_first_job_is_due() -> None:
    who = account(amount=9)
    full, other = model("full"), model("other")
    first = claimed(placed(who, full))
    placed(who, full)
    held, free = placed(who, full), placed(who, other)
    slots(1)
    requeued(first, after_seconds=60, attempt=None, spends_attempt=False, held_back=True)
    slots(9)
    assert dispatched(who) == [free]
    change("update job_runs set wake_at = app_now() where job_id = %s", first.job_id)
    assert dispatched(who) == [held], "and its own place is found by who looks for retries that are due"


def test_a_retry_of_a_held_model_is_not_passed_over() -> None:
    who, offer = account(amount=9), model()
    first, second = claimed(placed(who, offer)), claimed(placed(who, offer))
    slots(1)
    requeued(first, after_seconds=60, attempt=None, spends_attempt=False, held_back=True)
    requeued(second)
    change("update job_runs set wake_at = null where job_id = %s", second.job_id)
    slots(9)
    assert dispatched(who) == [second.job_id]


def test_a_dispatched_job_is_rung_again_after_a_pause_and_names_its_queue() -> None:
    who, offer = account(amount=9), model(queue="batch")
    for _ in range(3):
        placed(who, offer)
    waiting = one("select job_id, queue from job_runs where not dispatched")
    assert waiting[1] == "batch"
    slots(3)
    with transaction() as conn:
        assert dispatch(conn, who) == [Ring(*waiting)]
    assert run_of(waiting[0], "dispatched", "rings", "status") == (True, 0, "queued")
    assert wakes_in(waiting[0]) == pytest.approx(15, abs=5)


def test_no_other_account_is_touched() -> None:
    offer = model()
    one_account, another = account(amount=9), account(amount=9)
    for who in (one_account, another):
        for _ in range(4):
            placed(who, offer)
    slots(3)
    assert len(dispatched(one_account)) == 1
    assert (in_use(one_account), in_use(another)) == (3, 2)
    assert rows("select count(*) from job_runs where account_id = %s and dispatched", another) == [(2,)]
