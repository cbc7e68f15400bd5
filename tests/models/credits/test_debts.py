"""Grants that are taken back: what was spent of them is owed, exactly once, whatever was done with them before."""

from uuid import UUID

import pytest

from common.errors import AccountBlocked
from models.credits import audit, ledger, revoking
from models.db import transaction
from models.jobs import cancel, ending
from models.jobs.ending import Ending
from tests.models.credits.test_ledger import finish, give
from tests.support import account, assert_books_are_clean, balance, claimed, model, one, order, place, placed, rows

pytestmark = pytest.mark.usefixtures("database")


def revoke(grant_id: UUID) -> int:
    with transaction() as conn:
        return revoking.revoke(conn, grant_id)


def debt(who: UUID) -> int:
    return int(one("select debt from accounts where id = %s", who)[0])


def canceled(job_id: UUID) -> None:
    with transaction() as conn:
        assert cancel.cancel(conn, job_id).ended


def failed(job_id: UUID) -> None:
    finish(job_id, "failed")


def dropped_on_cancel(job_id: UUID) -> None:
    """A result that met a cancel and costs nothing: the end goes by way of `on_cancel`."""
    claim = claimed(job_id)
    with transaction() as conn:
        assert not cancel.cancel(conn, job_id).ended
    with transaction() as conn:
        assert ending.end(conn, claim.account_id, job_id, Ending("succeeded", cost_credits=4), token=claim.token)


@pytest.mark.parametrize("refunded_by", [failed, canceled, dropped_on_cancel])
def test_a_grant_whose_job_was_refunded_is_revoked_without_any_debt(refunded_by) -> None:
    who, offer = account(), model(price={"credits": 4})
    grant_id = give(who, 10, "charged back")
    refunded_by(placed(who, offer))
    assert rows("select settled from reservation_grants") == [(0,)]
    assert revoke(grant_id) == 0
    assert (balance(who), debt(who)) == ((0, 0), 0)
    assert_books_are_clean()


def test_what_was_spent_is_owed_though_another_job_was_refunded() -> None:
    who, offer = account(), model(price={"credits": 4})
    grant_id = give(who, 10, "charged back")
    finish(placed(who, offer), cost=4)
    failed(placed(who, offer))
    held = placed(who, offer)
    assert revoke(grant_id) == 4
    assert (balance(who), debt(who)) == ((0, 4), 4)
    failed(held)
    assert (balance(who), debt(who)) == ((0, 0), 4)
    assert revoke(grant_id) == 0  # a second word of the same chargeback
    assert_books_are_clean()


def test_of_a_job_that_took_from_two_grants_each_is_settled_for_its_part() -> None:
    who, offer = account(), model(price={"credits": 8})
    soon, late = give(who, 5, "soon", 24), give(who, 5, "late", 48)
    finish(placed(who, offer), cost=3)  # all of it from the first
    assert dict(rows("select grant_id, settled from reservation_grants")) == {soon: 3, late: 0}
    assert revoke(late) == 0
    assert revoke(soon) == 3
    assert (balance(who), debt(who)) == ((0, 0), 3)
    assert_books_are_clean()


def test_what_came_back_and_expired_then_is_not_owed() -> None:
    who, offer = account(), model(price={"credits": 4})
    grant_id = give(who, 10, "charged back", 1)
    finish(placed(who, offer), cost=1)  # three come back
    with transaction() as conn:
        conn.execute("update grants set expires_at = app_now() where id = %s", [grant_id])
    with transaction() as conn:
        conn.execute("select 1 from accounts where id = %s for no key update", [who])
        assert ledger.expire_lapsed(conn, [who]) == 1
    assert revoke(grant_id) == 1
    assert (balance(who), debt(who)) == ((0, 0), 1)
    assert_books_are_clean()


def owing(amount: int) -> tuple[UUID, UUID]:
    """An account that owes so many credits, and the grant whose revocation made the debt."""
    who = account()
    first = give(who, amount, "first payment")
    finish(placed(who, model(price={"credits": amount})), cost=amount)
    assert revoke(first) == amount
    return who, first


def test_charging_back_the_grant_that_paid_a_debt_brings_the_debt_back() -> None:
    who, _ = owing(6)
    paying = give(who, 10, "second payment")
    assert (balance(who), debt(who)) == ((4, 0), 0)
    assert revoke(paying) == 6
    assert (balance(who), debt(who)) == ((0, 0), 6)
    assert isinstance(place(order(who, model()))[0], AccountBlocked)
    assert_books_are_clean()


def test_each_charged_back_payment_of_a_chain_leaves_what_was_spent_owed() -> None:
    who, _ = owing(6)
    second = give(who, 4, "second payment")  # pays a part
    assert debt(who) == 2
    third = give(who, 10, "third payment")  # pays the rest
    finish(placed(who, model("three", price={"credits": 3})), cost=3)
    assert (balance(who), debt(who)) == ((5, 0), 0)
    assert revoke(third) == 2 + 3
    assert revoke(second) == 4
    assert (balance(who), debt(who)) == ((0, 0), 9)
    give(who, 9, "cash at last")
    assert (balance(who), debt(who)) == ((0, 0), 0)
    assert_books_are_clean()


def test_a_grant_that_paid_a_debt_and_then_expired_still_owes_only_what_it_paid() -> None:
    who, _ = owing(6)
    paying = give(who, 10, "second payment", 1)
    with transaction() as conn:
        conn.execute("update grants set expires_at = app_now() where id = %s", [paying])
    with transaction() as conn:
        conn.execute("select 1 from accounts where id = %s for no key update", [who])
        assert ledger.expire_lapsed(conn, [who]) == 1
    assert revoke(paying) == 6
    assert (balance(who), debt(who)) == ((0, 0), 6)
    assert_books_are_clean()


def test_a_goodwill_grant_pays_a_debt_and_its_correction_brings_it_back() -> None:
    who, _ = owing(6)
    job_id = one("select id from jobs")[0]
    with transaction() as conn:
        goodwill = ledger.grant(conn, who, kind="goodwill", amount=6, ref="sorry", job_id=job_id)
    assert (balance(who), debt(who)) == ((0, 0), 0)
    assert goodwill is not None
    assert revoke(goodwill) == 6
    assert debt(who) == 6
    assert_books_are_clean()


def test_a_revoked_grants_held_credits_are_owed_or_gone_by_what_the_job_spends() -> None:
    who, offer = account(), model(price={"credits": 8})
    soon = give(who, 5, "soon", 24)
    give(who, 5, "late", 48)
    held = placed(who, offer)
    assert revoke(soon) == 0
    finish(held, cost=2)
    # Two of the revoked five were spent, three are gone; what the other grant lent has come back.
    assert (balance(who), debt(who)) == ((5, 0), 2)
    assert_books_are_clean()


@pytest.mark.parametrize("wrong", [
    "update accounts set debt = debt + 1",
    "update accounts set debt = 0",
])  # fmt: skip
def test_the_audit_finds_a_debt_that_was_forgotten_or_made_up(wrong: str) -> None:
    owing(6)
    assert_books_are_clean()
    with transaction() as conn:
        conn.execute(wrong)
    with transaction() as conn:
        assert [each.rule for each in audit.audit(conn)] == ["debts_are_spent_credits_of_revoked_grants"]
