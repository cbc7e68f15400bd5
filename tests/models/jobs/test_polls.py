"""Polls that are leased together and let go together: which, what is written, and what a lost lease comes to."""

from collections.abc import Callable
from typing import Any

import pytest

from common.settings import settings
from models.db import transaction
from models.jobs import callbacks, cancel, polls, ringing, steps
from models.jobs.polls import StillPending
from models.jobs.steps import TOGETHER, Claim
from tests.models.hands import change
from tests.models.jobs.standing import accepted, begun, delivered, lapse, parked_job, run_of, wakes_in
from tests.support import account, claimed, model, one, rows

pytestmark = pytest.mark.usefixtures("database")

OWNER = "w#1" + TOGETHER


def leased(limit: int = 10, *, queues: tuple[str, ...] = ("interactive", "batch"), owner: str = OWNER) -> list[Claim]:
    with transaction() as conn:
        return polls.lease(conn, owner, queues, limit)


def written(*answers: StillPending) -> set[Any]:
    with transaction() as conn:
        return polls.write_waits(conn, answers)


def due_now(known_as: str = "p", **fields: Any) -> Claim:
    """A job at its provider whose poll is due just now."""
    claim = accepted(begun(**fields), provider_job_id=known_as)
    change("update job_runs set wake_at = app_now() where job_id = %s", claim.job_id)
    return claim


def test_a_lease_says_of_each_what_a_claim_alone_says() -> None:
    together, alone = due_now("a"), due_now("b")
    [lease, *_] = [each for each in leased(2) if each.job_id == together.job_id]
    lapse(alone.job_id)
    change("update job_runs set lease_owner = null where job_id = %s", alone.job_id)
    other = claimed(alone.job_id)
    skipped = {"job_id", "account_id", "token", "owner", "live", "claimed_at", "now", "seconds_left", "has_calls"}
    assert lease.live is not None
    assert other.live is not None
    for name in set(Claim.__slots__) - skipped:
        assert getattr(lease, name) == getattr(other, name), name
    assert lease.live._replace(age_seconds=0, provider_job_id="b") == other.live._replace(age_seconds=0)
    assert (lease.token, lease.owner, lease.has_calls) == (together.token + 1, OWNER, False)
    assert 0 <= lease.live.age_seconds < 60
    assert 0 < lease.seconds_left <= 600
    assert run_of(lease.job_id, "lease_owner", "token") == (OWNER, lease.token)
    assert wakes_in(lease.job_id) == pytest.approx(settings().lease_seconds, abs=5)


def not_due() -> Any:
    return accepted(begun())


def held() -> Any:
    claim = due_now()
    claimed(claim.job_id)


def canceled() -> Any:
    claim = due_now()
    with transaction() as conn:
        cancel.cancel(conn, claim.job_id)


def called_back() -> Any:
    claim = due_now()
    with transaction() as conn:
        callbacks.store(conn, claim.job_id, 1, {}, b"{}")
    change("update job_runs set wake_at = app_now(), rings = 0")


def past_its_limit() -> Any:
    due_now()
    change("update job_runs set deadline_at = app_now()")


def rung() -> Any:
    due_now()
    change("update job_runs set rings = 1")


def rescued_before() -> Any:
    due_now()
    change("update job_runs set rescues = 1")


def of_no_answer() -> Any:
    parked_job(begun(), after_seconds=0)


def with_its_result() -> Any:
    claim = delivered(begun())
    with transaction() as conn:
        assert steps.wait(conn, claim, after_seconds=0, reason=None)


@pytest.mark.parametrize("make", [
    not_due, held, canceled, called_back, past_its_limit, rung, rescued_before, of_no_answer, with_its_result,
], ids=lambda make: make.__name__)  # fmt: skip
def test_only_what_does_nothing_but_wait_for_its_provider_is_leased(make: Callable[[], Any]) -> None:
    make()
    assert leased() == []


def test_a_worker_takes_polls_of_its_own_queues_the_latest_first_and_no_more_than_so_many() -> None:
    claims = [due_now(str(number)) for number in range(3)]
    slow = due_now("slow", name="slow", queue="batch")
    for claim, seconds in zip(claims, (1, 3, 2), strict=True):
        change(
            "update job_runs set wake_at = app_now() - make_interval(secs => %s) where job_id = %s",
            seconds, claim.job_id,
        )  # fmt: skip
    interactive = leased(2, queues=("interactive",))
    assert {each.job_id for each in interactive} == {claims[1].job_id, claims[2].job_id}
    assert [each.job_id for each in leased(queues=("interactive",))] == [claims[0].job_id]
    assert [each.job_id for each in leased(queues=("batch",))] == [slow.job_id]


def test_what_another_has_in_hand_is_passed_over() -> None:
    busy, free = due_now("a"), due_now("b")
    with transaction() as other:
        other.execute("select 1 from job_runs where job_id = %s for update", [busy.job_id])
        assert [each.job_id for each in leased()] == [free.job_id]


def test_answers_that_tell_nothing_new_write_a_next_time_and_touch_no_attempt() -> None:
    quiet, moved = due_now("a"), due_now("b")
    before = rows("select job_id, xmin::text from attempts order by job_id")
    change("update job_runs set progress = 7 where job_id = %s", quiet.job_id)
    claims = {each.job_id: each for each in leased()}
    news = written(StillPending(claims[quiet.job_id], 30.0, 7), StillPending(claims[moved.job_id], 90.0, 40))
    assert news == {moved.job_id}
    assert rows("select job_id, xmin::text from attempts order by job_id") == before
    for claim, seconds, progress in ((quiet, 30, 7), (moved, 90, 40)):
        assert run_of(claim.job_id, "status", "lease_owner", "rings", "progress", "reason") == (
            "running", None, 0, progress, None,
        )  # fmt: skip
        assert wakes_in(claim.job_id) == pytest.approx(seconds, abs=5)


def test_a_job_is_looked_at_at_its_limit_and_at_once_where_a_cancel_or_a_call_back_came_meanwhile() -> None:
    limited, stopped, called = due_now("a"), due_now("b"), due_now("c")
    change("update job_runs set deadline_at = app_now() + interval '20 seconds' where job_id = %s", limited.job_id)
    claims = leased()
    with transaction() as conn:
        cancel.cancel(conn, stopped.job_id)
        callbacks.store(conn, called.job_id, 1, {}, b"{}")
    written(*(StillPending(each, 60.0) for each in claims))
    assert wakes_in(limited.job_id) == pytest.approx(20, abs=5)
    assert wakes_in(stopped.job_id) <= 0
    assert wakes_in(called.job_id) <= 0
    assert leased() == [], "they are steps of their own"
    with transaction() as conn:
        assert {each.job_id for each in ringing.due(conn, 9)} == {stopped.job_id, called.job_id}, "and at once"


def test_an_answer_under_a_lost_lease_changes_nothing_and_the_others_are_written() -> None:
    lost, kept = due_now("a"), due_now("b")
    claims = leased()
    lapse(lost.job_id)
    with transaction() as conn:
        assert steps.rescue(conn, lost.job_id, lost.token + 1) is not None
    again = claimed(lost.job_id, "another")
    before = one("select wake_at, progress from job_runs where job_id = %s", lost.job_id)
    assert written(*(StillPending(each, 30.0, 50) for each in claims)) == {kept.job_id}
    assert run_of(lost.job_id, "lease_owner", "token") == ("another", again.token)
    assert one("select wake_at, progress from job_runs where job_id = %s", lost.job_id) == before
    assert run_of(kept.job_id, "lease_owner") == (None,)


def test_a_lease_that_lapsed_with_others_does_not_count_and_one_alone_does() -> None:
    claims = [due_now(str(number)) for number in range(3)]
    leased()
    for claim in claims:
        lapse(claim.job_id)
        with transaction() as conn:
            assert steps.rescue(conn, claim.job_id, claim.token + 1) is not None
    assert rows("select distinct rescues, rings, lease_owner from job_runs") == [(0, 1, None)]
    change("update job_runs set wake_at = app_now()")
    assert leased() == [], "each is claimed alone now"
    alone = claimed(claims[0].job_id)
    lapse(alone.job_id)
    with transaction() as conn:
        assert steps.rescue(conn, alone.job_id, alone.token) is not None
    assert run_of(alone.job_id, "rescues") == (1,)


def test_a_lease_whose_answer_was_lost_is_given_back_and_what_it_had_is_due() -> None:
    due_now("a"), due_now("b")
    claims = leased()
    with transaction() as conn:
        assert polls.give_back_lease(conn, "w#2" + TOGETHER) == 0
        assert polls.give_back_lease(conn, OWNER) == 2
    assert written(*(StillPending(each, 30.0) for each in claims)) == set()
    assert {each.job_id for each in leased(owner="w#3" + TOGETHER)} == {each.job_id for each in claims}


def test_calls_back_that_lie_there_are_said() -> None:
    claim = due_now()
    with transaction() as conn:
        callbacks.store(conn, claim.job_id, 1, {}, b"{}")
    change(
        "update job_runs set called_back = false, rings = 0, wake_at = app_now()"
    )  # read, and kept: it is not judged
    assert [each.has_calls for each in leased()] == [True]


def test_the_scheduler_leaves_polls_to_workers_for_some_seconds_and_no_longer() -> None:
    claim, lost = due_now(), begun()
    parked_job(lost, after_seconds=0)
    with transaction() as conn:
        assert [each.job_id for each in ringing.due(conn, 9)] == [lost.job_id], "what is no poll is not left"
    change(
        "update job_runs set wake_at = app_now() - make_interval(secs => %s) where job_id = %s",
        ringing.LEFT_SECONDS + 1, claim.job_id,
    )  # fmt: skip
    with transaction() as conn:
        assert [each.job_id for each in ringing.due(conn, 9)] == [claim.job_id]
    assert leased() == [], "it was rung, and is a step of its own"


def test_models_are_read_once_for_all_polls_of_a_process() -> None:
    who, polls_due = account(amount=9), []
    for number in range(2):
        polls_due.append(accepted(begun(who), provider_job_id=str(number)))
        lapse(polls_due[-1].job_id)
    entries = {id(each.entry) for each in leased()}
    assert len(entries) == 1
    assert model().entry.id == "test-model"
