"""Parked jobs: which there are, and what an operator's word does to one."""

from typing import Any
from uuid import UUID, uuid4

import pytest
from pydantic import SecretStr

from common.errors import NotFound
from models.catalogue import provider_keys
from models.db import transaction
from models.jobs.cancel import cancel
from models.jobs.reconcile import decide, list_parked
from models.jobs.rescues import GivenUp, Slot
from models.jobs.steps import Claim
from scheduler.duties import jobs
from tests.models.hands import change, while_locked
from tests.models.jobs.standing import accepted, begun, parked_job, run_of, wakes_in
from tests.support import account, assert_books_are_clean, balance, claimed, model, one, placed, rows

pytestmark = pytest.mark.usefixtures("database")

ROUTER = [{"provider": "router", "model": "vendor/image"}]
BOTH = pytest.mark.parametrize("again", [True, False])


def decided(job_id: UUID, *, again: bool) -> GivenUp:
    with transaction() as conn:
        return decide(conn, job_id, again=again)


def test_parked_jobs_are_listed_oldest_attempt_first_and_others_are_not() -> None:
    offer = model(price={"credits": 2})
    newer, older = (parked_job(claimed(placed(account(amount=5), offer))) for _ in range(2))
    change("update attempts set started_at = started_at - interval '1 hour' where job_id = %s", older.job_id)
    accepted(claimed(placed(account(amount=5), offer)))
    placed(account(amount=5), offer)
    with transaction() as conn:
        found = list_parked(conn)
        assert list_parked(conn, 1) == found[:1]
    assert [each.job_id for each in found] == [older.job_id, newer.job_id]
    assert found[0][1:5] == (older.account_id, "test-model", "sketch", 1)
    assert found[0][6:] == (2, "the answer was lost")


def test_what_never_began_is_tried_again_and_no_attempt_is_spent() -> None:
    who, offer = account(amount=5), model()
    claim = parked_job(claimed(placed(who, offer)))
    done = decided(claim.job_id, again=True)
    assert wakes_in(claim.job_id) <= 0
    assert done.slot is None, "the built-in provider has none"
    assert one("select phase, error_code from attempts") == ("abandoned", "outcome_unknown")
    assert jobs.retry_due(10) == 1
    next_claim = claimed(claim.job_id)
    assert (next_claim.attempts, next_claim.attempts_spent, next_claim.begins) == (2, 1, True)
    assert balance(who) == (4, 1)
    assert_books_are_clean()


def test_a_job_that_is_given_up_is_refunded_and_frees_its_slot() -> None:
    who, offer = account(amount=9), model(price={"credits": 2})
    claim = parked_job(claimed(placed(who, offer)))
    waiting = [placed(who, offer) for _ in range(2)][-1]
    done = decided(claim.job_id, again=False)
    assert done.ended.ended == "failed"
    assert [ring.job_id for ring in done.ended.rings] == [waiting]
    assert one("select ended, error_code from jobs where id = %s", claim.job_id) == ("failed", "outcome_unknown")
    assert balance(who) == (5, 4)
    assert_books_are_clean()


@pytest.mark.parametrize("own", [True, False])
@BOTH
def test_the_slot_that_is_free_now_is_that_of_the_key_which_began_the_attempt(again: bool, own: bool) -> None:
    claim = begun(routes=ROUTER)
    if own:
        change(
            "insert into providers (name, entry) values ('router', '{}') on conflict (name) do update set entry = '{}'"
        )
        with transaction() as conn:
            provider_keys.save(conn, claim.account_id, "router", SecretStr("a key of their own"))
            provider_keys.begin_with(
                conn, claim.account_id, "router", job_id=claim.job_id, number=1, token=claim.token
            )  # fmt: skip
    parked_job(claim)
    name = f"router@{claim.account_id}" if own else "router"
    assert decided(claim.job_id, again=again).slot == Slot(name, f"{claim.job_id}:1")


def running(claim: Claim) -> None:
    """Nobody has lost an answer."""


def held(claim: Claim) -> None:
    parked_job(claim, after_seconds=0)
    claimed(claim.job_id, "who asks just now")


def called_back(claim: Claim) -> None:
    parked_job(claim)
    change("update job_runs set called_back = true")


def decided_before(claim: Claim) -> None:
    parked_job(claim)
    decided(claim.job_id, again=False)


@pytest.mark.parametrize("state", [running, accepted, held, called_back, decided_before])
@BOTH
def test_what_is_not_parked_or_is_looked_after_is_not_decided_on(state: Any, again: bool) -> None:
    claim = begun()
    state(claim)
    before = rows("select * from job_runs"), rows("select * from attempts"), rows("select ended from jobs")
    with pytest.raises(NotFound):
        decided(claim.job_id, again=again)
    assert (rows("select * from job_runs"), rows("select * from attempts"), rows("select ended from jobs")) == before


def test_a_job_that_is_not_there_is_not_decided_on() -> None:
    with pytest.raises(NotFound):
        decided(uuid4(), again=True)


@BOTH
def test_of_two_operators_the_second_finds_it_decided(again: bool) -> None:
    claim = parked_job(begun())
    with pytest.raises(NotFound):
        while_locked(
            "select 1 from accounts where id = %s for no key update", [claim.account_id],
            lambda: decided(claim.job_id, again=not again), lambda other: decide(other, claim.job_id, again=again),
        )  # fmt: skip
    assert_books_are_clean()


@BOTH
def test_a_parked_job_that_is_to_be_canceled_ends_as_canceled(again: bool) -> None:
    claim = parked_job(begun())
    with transaction() as conn:
        assert not cancel(conn, claim.job_id).ended
    assert decided(claim.job_id, again=again).ended.ended == "canceled"
    assert one("select ended, error_code from jobs") == ("canceled", None)
    assert balance(claim.account_id) == (5, 0)
    assert_books_are_clean()


def test_a_job_that_is_tried_again_takes_its_place_at_the_head_of_a_full_line() -> None:
    who, offer = account(amount=9), model()
    claim = parked_job(claimed(placed(who, offer)))
    others = [placed(who, offer) for _ in range(3)]
    change("update plans set slots = 1 where id = 'free'")
    assert decided(claim.job_id, again=True).ended.rings == []
    assert run_of(claim.job_id, "status", "dispatched", "requeued", "reason") == (
        "queued", False, True, "an operator found that it never began",
    )  # fmt: skip
    assert wakes_in(claim.job_id) <= 0
    assert [run_of(each, "dispatched")[0] for each in others] == [True, False, False]
