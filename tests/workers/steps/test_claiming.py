"""Jobs that are fetched together are claimed together, and no message disturbs a hold that is there already."""

from unittest.mock import patch
from uuid import UUID, uuid4

import psycopg
import pytest

from common.settings import settings
from models.db import transaction
from models.jobs import pauses, steps
from models.jobs.clock import ClockPace
from tests.models.hands import change
from tests.support import account, assert_books_are_clean, claimed, eventually, model, one, placed, rows
from workers.leases import Hold, Keeper
from workers.steps.claiming import Claiming

pytestmark = pytest.mark.usefixtures("database")


def house(threads: int = 8) -> tuple[Keeper, Claiming]:
    keeper = Keeper("tester", "interactive", threads)
    return keeper, Claiming(keeper, ClockPace())


def waiting(count: int) -> list[UUID]:
    who, offer = account(amount=50, plan="enterprise"), model(price={"credits": 1})
    return [placed(who, offer) for _ in range(count)]


def owners() -> dict[UUID, str | None]:
    return dict(rows("select job_id, lease_owner from job_runs"))


def taken(claiming: Claiming, job_id: UUID) -> Hold:
    hold = claiming.claim(job_id)
    assert hold is not None
    return hold


def test_jobs_that_were_fetched_together_are_one_statement_and_each_thread_finds_its_own() -> None:
    _, claiming = house()
    jobs = waiting(5)
    with patch.object(steps, "claim") as alone:
        claiming.claim_ahead(jobs)
        holds = [taken(claiming, job_id) for job_id in jobs]
    assert not alone.called
    assert [hold.claim.job_id for hold in holds] == jobs
    assert one("select count(distinct xmin::text), count(*) from attempts") == (1, 5)
    assert len({hold.claim.owner for hold in holds}) == 1
    assert [hold.claim.attempts for hold in holds] == [1] * 5


def test_no_more_is_claimed_ahead_than_threads_are_free_for() -> None:
    keeper, claiming = house(threads=4)
    busy, *jobs = waiting(6)
    taken(claiming, busy)
    claiming.claim_ahead(jobs)
    assert sum(owner is not None for owner in owners().values()) == 1 + 3
    assert keeper.free() == 0
    assert [taken(claiming, job_id).claim.job_id for job_id in jobs] == jobs  # the others are claimed by their threads


def test_a_second_message_for_a_held_job_leaves_its_hold_alone() -> None:
    keeper, claiming = house()
    jobs = waiting(3)
    claiming.claim_ahead(jobs)
    first = taken(claiming, jobs[0])
    claiming.claim_ahead([jobs[0], jobs[1], *jobs])
    assert claiming.claim(jobs[0]) is None
    assert keeper.busy() == 3
    second = taken(claiming, jobs[1])
    keeper.drop(first)
    keeper.drop(second)
    keeper.drop(taken(claiming, jobs[2]))
    assert keeper.busy() == 0


def test_what_is_locked_held_or_not_due_is_left_to_its_thread() -> None:
    _, claiming = house()
    jobs = waiting(5)
    claimed(jobs[0], "another")
    change("update job_runs set dispatched = false, wake_at = null where job_id = %s", jobs[1])
    with psycopg.connect(settings().database_url) as other:
        other.execute("select 1 from job_runs where job_id = %s for update", [jobs[2]])
        claiming.claim_ahead([*jobs, uuid4()])
    mine = {job_id for job_id, owner in owners().items() if owner and owner.startswith("tester")}
    assert mine == set(jobs[3:])
    assert claiming.claim(jobs[0]) is None
    assert claiming.claim(jobs[1]) is None
    assert taken(claiming, jobs[2]).claim.job_id == jobs[2]


def test_while_something_is_paused_nothing_is_claimed_ahead() -> None:
    _, claiming = house()
    jobs = waiting(3)
    with patch.object(
        pauses, "seen", return_value=pauses.Paused(frozenset({"batch"}), frozenset(), frozenset(), frozenset())
    ):
        claiming.claim_ahead(jobs)
    assert set(owners().values()) == {None}


def test_a_lost_answer_to_a_claim_of_many_is_given_back() -> None:
    keeper, claiming = house()
    jobs = waiting(3)
    claim_many = steps.claim_many

    def lost(*given: object) -> list[object]:
        claim_many(*given)  # type: ignore[arg-type]  # handed on
        raise psycopg.OperationalError("the connection was lost")

    with patch.object(steps, "claim_many", lost):
        claiming.claim_ahead(jobs)
    assert keeper.busy() == 0
    keeper.start()
    try:
        eventually(lambda: set(owners().values()) == {None}, what="the claims to be given back")
        assert one("select count(*) from attempts") == (0,)
    finally:
        keeper.stop()
    assert [taken(claiming, job_id).claim.attempts for job_id in jobs] == [1] * 3


def test_what_no_thread_takes_up_is_given_back_at_the_end_as_if_it_had_not_been_claimed() -> None:
    keeper, claiming = house()
    jobs = waiting(4)
    claiming.claim_ahead(jobs)
    begun = taken(claiming, jobs[0])
    claiming.give_back_ahead()
    assert {job_id for job_id, owner in owners().items() if owner} == {jobs[0]}
    assert one("select count(*), max(number) from attempts") == (1, 1)
    assert one("select count(*) from job_runs where deadline_at is not null") == (1,)
    assert keeper.busy() == 1
    keeper.drop(begun)
    with transaction() as conn:
        assert len(steps.claim_many(conn, jobs[1:], "another")) == 3
    assert_books_are_clean()


def test_the_lease_of_a_job_whose_message_was_lost_lapses() -> None:
    keeper, claiming = house()
    jobs = waiting(3)
    claiming.claim_ahead(jobs)
    begun = taken(claiming, jobs[0])
    with patch("workers.leases.uptime.seconds", return_value=begun.claim.claimed_at + settings().lease_seconds + 1):
        keeper._drop_waiting()
    assert keeper.busy() == 1  # what a thread works under is kept
    change("update job_runs set lease_owner = null, status = 'queued', token = token + 1 where job_id = %s", jobs[1])
    change("delete from attempts where job_id = %s", jobs[1])
    late = taken(
        claiming, jobs[1]
    )  # its message comes all the same: it is claimed anew, and not worked on under the old claim
    assert late.claim.token == 3
