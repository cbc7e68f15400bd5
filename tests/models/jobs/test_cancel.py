"""Cancel: refunded at once where no provider was called, a request to the next step where one was."""

from typing import Any
from uuid import UUID, uuid4

import pytest

from common.errors import NotCancelable, NotFound
from models.db import transaction
from models.jobs import facts, steps
from models.jobs.cancel import Canceled, cancel
from models.jobs.dispatch import Ring
from models.jobs.ending import AttemptEnd, Ending, end
from models.jobs.facts import NOWHERE
from tests.models.hands import while_locked
from tests.models.jobs.standing import accepted, begun, delivered, lapse, parked_job, requeued, run_of, wakes_in
from tests.support import account, assert_books_are_clean, balance, claimed, model, one, placed

pytestmark = pytest.mark.usefixtures("database")

LOCK_ACCOUNT = "select 1 from accounts where id = %s for no key update"
LOCK_RUN = "select 1 from job_runs where job_id = %s for update"


def canceled(job_id: UUID, **fields: Any) -> Canceled:
    with transaction() as conn:
        return cancel(conn, job_id, **fields)


def test_a_canceled_job_gives_its_credits_back_and_its_slot_to_the_next_in_line() -> None:
    who, offer = account(amount=9), model(price={"credits": 2})
    first, _second, third, fourth = (placed(who, offer) for _ in range(4))
    assert canceled(first, account_id=who) == Canceled(ended=True, rings=[Ring(third, "interactive")])
    assert balance(who) == (3, 6)
    assert run_of(third, "dispatched") == (True,)
    assert one("select ended, resolution, charged_credits from jobs where id = %s", first) == ("canceled", "refund", 0)
    assert canceled(fourth).rings == [], "what waits for a slot has none to give"
    assert one("select slots_in_use from accounts") == (2,)
    assert_books_are_clean()


def test_a_job_that_waits_for_another_try_is_canceled_at_once() -> None:
    claim = requeued(begun(), after_seconds=3600)
    assert canceled(claim.job_id).ended
    assert balance(claim.account_id) == (5, 0)
    assert one("select phase from attempts") == ("failed",)
    assert_books_are_clean()


def test_a_job_that_a_worker_holds_is_asked_to_stop_and_the_first_request_counts() -> None:
    claim = begun()
    assert canceled(claim.job_id) == Canceled(ended=False, rings=[])
    before = run_of(claim.job_id, "cancel_requested_at", "lease_owner", "token", "wake_at")
    assert before[:3] != (None, None, None)
    assert canceled(claim.job_id) == Canceled(ended=False, rings=[])
    assert run_of(claim.job_id, "cancel_requested_at", "lease_owner", "token", "wake_at") == before
    assert balance(claim.account_id) == (4, 1)
    assert_books_are_clean()


@pytest.mark.parametrize("state", [accepted, parked_job])
def test_a_job_at_its_provider_is_due_at_once_so_that_it_is_called_off(state: Any) -> None:
    claim = state(begun())
    assert wakes_in(claim.job_id) > 500
    assert canceled(claim.job_id) == Canceled(ended=False, rings=[Ring(claim.job_id, "interactive")])
    assert wakes_in(claim.job_id) <= 0
    assert claimed(claim.job_id).cancel_requested


def test_a_result_that_is_being_collected_is_not_dropped_by_the_request_alone() -> None:
    claim = delivered(begun())
    assert not canceled(claim.job_id).ended
    assert one("select phase from attempts") == ("delivered",)


def test_a_claim_without_an_attempt_is_stale_once_its_job_is_canceled() -> None:
    first = begun()
    lapse(first.job_id)
    with transaction() as conn:
        steps.rescue(conn, first.job_id, first.token)
        facts.fail(conn, first, AttemptEnd(1, "failed", "x"), next_route=NOWHERE, spends_attempt=True)
    claim = claimed(first.job_id)
    assert claim.live is None
    assert canceled(claim.job_id).ended, "no provider is at work for it"
    with transaction() as conn:
        assert end(conn, claim.account_id, claim.job_id, Ending("failed", error_code="x"), token=claim.token) is None
    assert one("select ended from jobs") == ("canceled",)
    assert_books_are_clean()


def test_a_job_that_is_not_there_or_another_accounts_is_not_found() -> None:
    job_id, stranger = placed(account(amount=5), model()), account()
    for wrong, fields in ((uuid4(), {}), (job_id, {"account_id": stranger}), (job_id, {"account_id": uuid4()})):
        with pytest.raises(NotFound):
            canceled(wrong, **fields)
    canceled(job_id)
    with pytest.raises(NotFound):
        canceled(job_id, account_id=stranger)


@pytest.mark.parametrize("ended", ["succeeded", "failed"])
def test_an_end_is_not_undone(ended: str) -> None:
    claim = begun()
    ending = Ending(ended, error_code="x" if ended == "failed" else None)
    with transaction() as conn:
        end(conn, claim.account_id, claim.job_id, ending, token=claim.token)
    with pytest.raises(NotCancelable, match=f"has {ended} already"):
        canceled(claim.job_id)


def test_a_job_that_ends_while_its_cancel_waits_has_ended() -> None:
    claim = begun()

    def finish(other: Any) -> None:
        assert end(other, claim.account_id, claim.job_id, Ending("succeeded", cost_credits=1), token=claim.token)

    with pytest.raises(NotCancelable, match="succeeded"):
        while_locked(LOCK_ACCOUNT, [claim.account_id], lambda: canceled(claim.job_id), finish)
    assert balance(claim.account_id) == (4, 0)
    assert_books_are_clean()


def test_a_job_that_is_claimed_while_its_cancel_waits_is_only_asked_to_stop() -> None:
    """The claim holds the run and has just written the attempt under which the provider is called."""
    job_id = placed(account(amount=5), model())
    found = while_locked(
        LOCK_RUN, [job_id], lambda: canceled(job_id), lambda other: steps.claim(other, job_id, "worker")
    )
    assert found == Canceled(ended=False, rings=[])
    assert run_of(job_id, "lease_owner") == ("worker",)


def test_who_listens_hears_of_an_end_by_cancel(heard: list[set[UUID]]) -> None:
    who = account(amount=5)
    job_id = placed(who, model())
    heard.clear()
    canceled(job_id)
    assert heard == [{who}]
    heard.clear()
    canceled(job_id)
    assert heard == [], "nothing has happened"
    assert one("select count(*) from events where type = 'job.canceled'") == (1,)


def test_the_model_has_no_say_in_what_never_started() -> None:
    who = account(amount=5)
    job_id = placed(who, model(price={"credits": 4}, on_cancel="charge"))
    assert canceled(job_id).ended
    assert balance(who) == (5, 0)
    assert_books_are_clean()
