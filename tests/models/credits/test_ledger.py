"""Grants, reservations, settles and refunds (DESIGN section 4)."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.errors import InvalidRequest
from models.credits import ledger, revoking
from models.credits.ledger import Fund, allocate
from models.db import transaction
from models.jobs import cancel, ending
from models.jobs.admission import Accepted
from models.jobs.ending import Ending
from tests.conftest import environment
from tests.support import account, assert_books_are_clean, balance, claimed, model, one, order, place, placed, rows

pytestmark = pytest.mark.usefixtures("database")


def give(account_id, amount, ref, hours=None, kind="gift"):
    expires = datetime.now(UTC) + timedelta(hours=hours) if hours is not None else None
    with transaction() as conn:
        return ledger.grant(conn, account_id, kind=kind, amount=amount, ref=ref, expires_at=expires)


def later(hours):
    return environment({"CLOCK_OFFSET_SECONDS": str(round(hours * 3600))})


def finish(job_id, ended="succeeded", cost=0, **fields):
    claim = claimed(job_id)
    if ended == "failed":
        fields |= {"error_code": "x", "error_message": "y"}
    with transaction() as conn:
        done = ending.end(conn, claim.account_id, job_id, Ending(ended, cost_credits=cost, **fields), token=claim.token)
    assert done is not None
    return done


@given(st.lists(st.integers(1, 50), max_size=8), st.integers(0, 400))
def test_allocation_takes_in_order_and_exactly(remaining: list[int], amount: int) -> None:
    from uuid import uuid4

    grants = [Fund(uuid4(), each) for each in remaining]
    if amount > sum(remaining):
        with pytest.raises(AssertionError):
            allocate(grants, amount)
        return
    lots = allocate(grants, amount)
    assert sum(lot.amount for lot in lots) == amount
    assert [lot.grant_id for lot in lots] == [each.grant_id for each in grants][: len(lots)]


def test_a_grant_is_given_once_per_reference() -> None:
    who = account()
    assert give(who, 5, "payment-1") is not None
    assert give(who, 5, "payment-1") is None
    assert balance(who) == (5, 0)
    with pytest.raises(InvalidRequest):
        give(who, 0, "nothing")


def test_the_grant_that_expires_soonest_is_used_first() -> None:
    who, offer = account(), model(price={"credits": 7})
    late, soon, never = give(who, 5, "late", 48), give(who, 5, "soon", 24), give(who, 5, "never")
    placed(who, offer)
    assert dict(rows("select id, remaining from grants")) == {soon: 0, late: 3, never: 5}


def test_settling_for_less_spends_the_soonest_and_returns_the_latest() -> None:
    who, offer = account(), model(price={"credits": 8})
    soon, late = give(who, 5, "soon", 24), give(who, 5, "late", 48)
    finish(placed(who, offer), cost=3)
    assert dict(rows("select id, remaining from grants")) == {soon: 2, late: 5}
    assert balance(who) == (7, 0)
    assert one("select charged_credits, resolution from jobs") == (3, "settle")
    assert_books_are_clean()


def test_a_cost_above_the_hold_is_the_houses_loss() -> None:
    who, offer = account(amount=10), model(price={"credits": 4})
    finish(placed(who, offer), cost=9)
    assert balance(who) == (6, 0)
    assert one("select charged_credits, overrun_credits from jobs") == (4, 5)
    assert_books_are_clean()


def test_a_failed_job_gets_everything_back_into_the_same_grants() -> None:
    who, offer = account(), model(price={"credits": 8})
    soon, late = give(who, 5, "soon", 24), give(who, 5, "late", 48)
    finish(placed(who, offer), "failed")
    assert dict(rows("select id, remaining from grants")) == {soon: 5, late: 5}
    assert rows("select kind, amount from ledger_entries where job_id is not null order by id") == [
        ("reserve", 8), ("refund", 8),
    ]  # fmt: skip
    assert_books_are_clean()


def test_credits_returned_to_an_expired_grant_live_for_the_grace_period() -> None:
    who, offer = account(), model(price={"credits": 4})
    grant_id = give(who, 10, "short", 1)
    job_id = placed(who, offer)
    with transaction() as conn:
        conn.execute("update grants set expires_at = app_now() - interval '1 minute' where id = %s", [grant_id])
    finish(job_id, "failed")
    # The six that were not held have expired; the four that came back stay for a day.
    remaining, left = one(
        "select remaining, extract(epoch from expires_at - app_now()) from grants where id = %s", grant_id
    )
    assert remaining == 4
    assert 23 * 3600 < left <= 24 * 3600
    assert rows("select kind, amount from ledger_entries order by id") == [
        ("grant", 10), ("reserve", 4), ("expire", 6), ("refund", 4),
    ]  # fmt: skip
    assert_books_are_clean()


def test_lapsed_credits_are_not_spent_and_the_refusal_says_what_is_left() -> None:
    who, offer = account(), model(price={"credits": 4})
    give(who, 3, "old", -1)
    give(who, 2, "new")
    refused = place(order(who, offer))[0]
    assert refused.code == "not_enough_credits"
    assert refused.extra == {"needed": 4, "available": 2}
    assert balance(who) == (2, 0)
    assert_books_are_clean()


def test_a_price_of_nothing_writes_no_entry() -> None:
    who, offer = account(), model(price={"credits": 0})
    finish(placed(who, offer))
    assert one("select count(*) from ledger_entries") == (0,)
    assert_books_are_clean()


def test_a_revoked_grant_becomes_debt_and_stops_new_jobs() -> None:
    who, offer = account(), model(price={"credits": 4})
    grant_id = give(who, 10, "chargeback")
    finish(placed(who, offer), cost=4)
    held = placed(who, offer)
    with transaction() as conn:
        assert revoking.revoke(conn, grant_id) == 4
    assert balance(who) == (0, 4)
    assert place(order(who, offer))[0].code == "account_in_debt"
    finish(held, cost=3)  # what it spends is owed too, what it returns is revoked
    assert balance(who) == (0, 0)
    assert one("select debt from accounts where id = %s", who) == (7,)
    give(who, 20, "paid")
    assert balance(who) == (13, 0)
    assert one("select debt from accounts where id = %s", who) == (0,)
    assert isinstance(place(order(who, offer))[0], Accepted)
    assert_books_are_clean()


def test_expiring_twice_does_nothing_the_second_time() -> None:
    who = account()
    give(who, 3, "a", -1)
    give(who, 4, "b", -1)
    with transaction() as conn:
        assert ledger.expire_lapsed(conn, [who]) == 2
        assert ledger.expire_lapsed(conn, [who]) == 0
    assert balance(who) == (0, 0)
    assert_books_are_clean()


def lapse(grant_id, ago="1 minute"):
    with transaction() as conn:
        conn.execute("update grants set expires_at = app_now() - %s::interval where id = %s", [ago, grant_id])


def test_submitting_and_failing_again_and_again_extends_an_expired_grant_only_once() -> None:
    who, offer = account(), model(price={"credits": 4})
    grant_id = give(who, 4, "short", 1)
    job_id = placed(who, offer)
    lapse(grant_id)
    finish(job_id, "failed")
    ends = one("select expires_at from grants where id = %s", grant_id)[0]
    for hours in (20, 23.9):  # just before the grace is over, another job holds them, and fails after it
        with later(hours):
            job_id = placed(who, offer)
        with later(hours + 2):
            finish(job_id, "failed")
            assert one("select expires_at from grants where id = %s", grant_id) == (ends,)
    with later(26):
        assert place(order(who, offer))[0].code == "not_enough_credits"
        assert balance(who) == (0, 0)
        assert_books_are_clean()


@pytest.mark.parametrize("end", ["failed", "canceled", "less"])
def test_credits_that_come_back_after_the_grace_are_expired(end: str) -> None:
    who, offer = account(), model(price={"credits": 4})
    grant_id = give(who, 4, "short", 1)
    job_id = placed(who, offer)
    with later(26):  # the grant lived one hour, its grace 24
        if end == "canceled":
            with transaction() as conn:
                assert cancel.cancel(conn, job_id).ended
        else:
            finish(job_id, "succeeded" if end == "less" else "failed", cost=1 if end == "less" else 0)
        assert one("select expires_at <= app_now() from grants where id = %s", grant_id) == (True,)
        assert place(order(who, offer))[0].extra["available"] == 0
        assert balance(who) == (0, 0)
        assert_books_are_clean()


def test_without_a_grace_nothing_is_extended() -> None:
    who, offer = account(), model(price={"credits": 4})
    grant_id = give(who, 4, "short", 1)
    job_id = placed(who, offer)
    with environment({"GRANT_GRACE_HOURS": "0", "CLOCK_OFFSET_SECONDS": str(2 * 3600)}):
        finish(job_id, "failed")
        assert one("select expires_at <= app_now() from grants where id = %s", grant_id) == (True,)
        assert place(order(who, offer))[0].extra["available"] == 0


def test_a_job_that_held_an_expired_grant_and_a_revoked_one_extends_only_the_first() -> None:
    who, offer = account(), model(price={"credits": 8})
    expired, revoked = give(who, 4, "expired", 1), give(who, 4, "revoked", 2)
    job_id = placed(who, offer)
    lapse(expired)
    lapse(revoked)
    with transaction() as conn:
        revoking.revoke(conn, revoked)
    before = one("select expires_at from grants where id = %s", revoked)
    finish(job_id, "failed")
    assert one("select expires_at from grants where id = %s", revoked) == before
    assert one("select expires_at > app_now() from grants where id = %s", expired) == (True,)
    assert balance(who) == (4, 0)
    assert_books_are_clean()


@pytest.mark.parametrize("amount", [10**15 + 1, 2**63, 10**30])
def test_a_grant_that_no_sum_could_hold_is_refused(amount: int) -> None:
    who = account(amount=5)
    with pytest.raises(InvalidRequest):
        give(who, amount, "too much")
    assert balance(who) == (5, 0)
