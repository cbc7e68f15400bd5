"""Jobs whose workers are lost again and again are given up, refunded, with what is known of their cost."""

from typing import Any
from uuid import UUID, uuid4

import pytest

from common.settings import settings
from models.db import transaction
from models.jobs import facts, steps
from models.jobs.ending import AttemptEnd
from models.jobs.facts import NOWHERE
from models.jobs.rescues import GivenUp, Slot, give_up, slot_of
from models.jobs.steps import Claim
from tests.models.hands import change, while_locked
from tests.models.jobs.standing import accepted, begun, delivered, lapse, run_of
from tests.support import account, assert_books_are_clean, balance, claimed, model, one, placed, rows

pytestmark = pytest.mark.usefixtures("database")

LOCK_ACCOUNT = "select 1 from accounts where id = %s for no key update"


def given_up(claim: Claim, token: int | None = None) -> GivenUp | None:
    with transaction() as conn:
        return give_up(conn, claim.account_id, claim.job_id, claim.token if token is None else token)


def test_a_job_of_which_nobody_knows_is_abandoned_and_refunded_and_its_slot_goes_on() -> None:
    who, offer = account(amount=9), model(price={"credits": 2})
    claim = claimed(placed(who, offer))
    waiting = [placed(who, offer) for _ in range(2)][-1]
    lapse(claim.job_id)
    done = given_up(claim)
    assert done is not None
    assert (done.ended.ended, done.slot) == ("failed", None)
    assert [ring.job_id for ring in done.ended.rings] == [waiting]
    assert one("select phase, error_code, cost_usd_micros from attempts") == ("abandoned", "worker_lost", None)
    assert one("select ended, error_code from jobs where id = %s", claim.job_id) == ("failed", "worker_lost")
    assert balance(who) == (5, 4)
    assert given_up(claim) is None, "once"
    assert_books_are_clean()


def test_a_result_that_ends_every_worker_is_lost_and_what_it_cost_the_house_is_booked() -> None:
    claim = delivered(begun())
    lapse(claim.job_id)
    assert given_up(claim) is not None
    assert one("select phase, error_code, cost_usd_micros, charged from attempts") == ("failed", "result_lost", 7, True)
    assert one("select error_code from jobs") == ("result_lost",)
    assert f"lost {settings().max_rescues} times" in one("select error_message from attempts")[0]
    assert balance(claim.account_id) == (5, 0)
    assert_books_are_clean()


def test_a_job_between_two_attempts_is_given_up_without_touching_the_one_that_is_over() -> None:
    first = begun()
    lapse(first.job_id)
    with transaction() as conn:
        steps.rescue(conn, first.job_id, first.token)
        facts.fail(conn, first, AttemptEnd(1, "failed", "broken", "it broke"), next_route=NOWHERE, spends_attempt=True)
    claim = claimed(first.job_id)
    lapse(claim.job_id)
    assert given_up(claim) is not None
    assert rows("select number, phase, error_code from attempts") == [(1, "failed", "broken")]
    assert_books_are_clean()


def test_a_lease_that_has_not_lapsed_or_is_another_holders_or_nobodys_is_not_given_up() -> None:
    claim = begun()
    assert given_up(claim) is None, "its worker lives"
    lapse(claim.job_id)
    assert given_up(claim, claim.token + 1) is None
    with transaction() as conn:
        assert give_up(conn, claim.account_id, uuid4(), claim.token) is None
    polled = accepted(begun(), provider_job_id="q")
    lapse(polled.job_id)
    assert given_up(polled) is None, "a poll that is due is no lost worker"
    assert rows("select 1 from jobs where ended is not null") == []


def test_a_worker_that_speaks_again_while_it_is_given_up_keeps_its_job() -> None:
    claim = begun()
    lapse(claim.job_id)

    def renew(other: Any) -> None:
        assert steps.extend(other, [(claim.job_id, claim.token, claim.owner)])

    assert while_locked(LOCK_ACCOUNT, [claim.account_id], lambda: given_up(claim), renew) is None
    assert run_of(claim.job_id, "lease_owner") == (claim.owner,)


def test_the_slot_at_a_provider_comes_free_under_the_key_that_held_it() -> None:
    claim = begun(routes=[{"provider": "router", "model": "vendor/image"}])
    lapse(claim.job_id)
    done = given_up(claim)
    assert done is not None
    assert done.slot == Slot("router", f"{claim.job_id}:1")


def test_a_slot_is_counted_for_whose_key_it_is() -> None:
    who, job_id = UUID(int=1), UUID(int=2)
    assert slot_of(who, job_id, 3, "sketch", own=True) is None
    assert slot_of(who, job_id, 3, "router", own=False) == Slot("router", f"{job_id}:3")
    assert slot_of(who, job_id, 3, "router", own=True) == Slot(f"router@{who}", f"{job_id}:3")


def test_a_sealed_key_of_their_own_is_known_by_its_column_alone() -> None:
    claim = begun(routes=[{"provider": "router", "model": "vendor/image"}])
    change("update attempts set own_key = 'sealed'")
    lapse(claim.job_id)
    done = given_up(claim)
    assert done is not None
    assert done.slot == Slot(f"router@{claim.account_id}", f"{claim.job_id}:1")
    assert one("select own_key from attempts") == (None,), "no key outlives its attempt"
