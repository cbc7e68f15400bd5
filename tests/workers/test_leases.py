"""Whoever works under a lease hears of it when it is lost, or when nobody wants the job any more."""

from collections.abc import Iterator

import pytest

from models.db import transaction
from models.jobs import cancel, steps
from scheduler.duties import jobs
from tests.conftest import environment
from tests.support import account, claimed, eventually, model, one, placed, rows
from workers.leases import Keeper


@pytest.fixture
def keeper(database: str) -> Iterator[Keeper]:
    with environment({"LEASE_SECONDS": "1"}):
        made = Keeper("tester", "interactive", 1)
        made.start()
        try:
            yield made
        finally:
            made.stop()


def let_it_lapse() -> None:
    """As when the whole machine stood still: the keeper was not heard of in time, and a rescuer was quicker."""
    for _ in range(100):
        with transaction() as conn:
            conn.execute("update job_runs set wake_at = app_now() - interval '1 second'")
        if jobs.rescue(10) and one("select lease_owner from job_runs") == (None,):
            return
    raise AssertionError("the keeper was quicker a hundred times")


def test_a_lost_lease_is_noticed_and_the_call_under_way_is_not_told_to_stop(keeper: Keeper) -> None:
    """Its answer is a fact, whoever has the job then."""
    job_id = placed(account(amount=5), model())
    with keeper.held(keeper.take(claimed(job_id))) as hold:
        assert not hold.lost
        let_it_lapse()
        eventually(lambda: hold.lost, what="the notice")
        assert not hold.stop.is_set()


def test_another_workers_lease_on_the_same_job_is_not_taken_for_ones_own(keeper: Keeper) -> None:
    job_id = placed(account(amount=5), model())
    with keeper.held(keeper.take(claimed(job_id))) as hold:
        let_it_lapse()
        claimed(job_id, "another")
        eventually(lambda: hold.lost, what="the notice")
        assert one("select lease_owner from job_runs") == ("another",)


def test_a_lease_is_kept_for_as_long_as_the_step_takes(keeper: Keeper) -> None:
    job_id = placed(account(amount=5), model())
    with keeper.held(keeper.take(claimed(job_id))) as hold:
        ends = one("select wake_at from job_runs")[0]
        eventually(lambda: one("select wake_at > %s + interval '1 second' from job_runs", ends)[0], what="two renewals")
        assert not hold.lost
        with transaction() as conn:
            assert steps.claim(conn, job_id, "another") is None


def test_a_cancel_is_heard_of_in_mid_step_and_not_only_when_the_lease_is_renewed(database: str) -> None:
    with environment({"LEASE_SECONDS": "120"}):  # renewed each half minute
        keeper = Keeper("tester", "interactive", 1)
        job_id = placed(who := account(amount=5), model())
        with keeper.held(keeper.take(claimed(job_id))) as hold:
            keeper.start()
            try:
                eventually(lambda: rows("select 1 from worker_processes") != [], what="the first report")
                with transaction() as conn:
                    cancel.cancel(conn, job_id, account_id=who)
                eventually(hold.stop.is_set, seconds=25, what="the notice")
                assert not hold.lost
            finally:
                keeper.stop()
