"""Another plan, at once or later; an end, and to undo it; a trial."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any
from uuid import UUID

import pytest

from common.errors import DomainError, InvalidRequest, NotFound, PaymentRequired
from models.access.audit_log import By
from models.accounts import plan_changes
from models.accounts.subscriptions import SubscriptionRow
from models.db import transaction
from scheduler.duties import accounts
from tests.conftest import environment
from tests.models.accounts.test_paid_periods import kinds, months, paid, role, state, unpaid
from tests.models.accounts.test_subscriptions import later
from tests.support import account, assert_books_are_clean, balance, one, rows

pytestmark = pytest.mark.usefixtures("database")
ME = By("me")


def changed(who: UUID, plan: str, **fields: Any) -> SubscriptionRow:
    with transaction() as conn:
        return plan_changes.change_plan(conn, who, plan, by=ME, **fields)


def canceled(who: UUID) -> SubscriptionRow | None:
    with transaction() as conn:
        return plan_changes.cancel(conn, who, by=ME)


def resumed(who: UUID) -> SubscriptionRow:
    with transaction() as conn:
        return plan_changes.resume(conn, who, by=ME)


def tried(who: UUID, plan: str = "reimaji-pro") -> UUID:
    with transaction() as conn:
        return plan_changes.start_trial(conn, who, plan, by=ME)


# Another plan


def test_what_costs_more_is_paid_for_first_unless_an_operator_says_otherwise() -> None:
    who = account()
    paid(who, "a")
    with pytest.raises(PaymentRequired):
        changed(who, "studio")
    assert changed(who, "studio", paid=True).plan_id == "studio"
    assert (state(who), months(who), balance(who)) == (
        ("active", "studio"),
        1,
        (250 + 249, 0),
    )  # of 250 more, all but a moment's
    event = one("select data from events where type = 'subscription.changed'")[0]
    assert event == {"plan": "studio", "interval": "monthly", "before": "creator", "credits": "keep"}
    assert rows("select actor, details->>'plan' from acts where action = 'plan.changed'") == [("me", "studio")]
    assert_books_are_clean()


@pytest.mark.parametrize(("setting", "credits"), [("keep", 500), ("revoke", 249)])
def test_what_costs_less_comes_at_once_if_asked_with_what_the_setting_says_of_the_credits(
    setting: str, credits: int
) -> None:
    who = account()
    paid(who, "a", "studio")
    with environment({"PLAN_CHANGE_CREDITS": setting}):
        changed(who, "creator", when="now")
    assert (state(who), balance(who)) == (("active", "creator"), (credits, 0))
    assert one("select data->>'credits' from events where type = 'subscription.changed'") == (setting,)
    assert one("select debt from accounts where id = %s", who) == (0,)
    assert_books_are_clean()


@pytest.mark.parametrize(("setting", "credits"), [("keep", 750), ("revoke", 500)])
def test_a_payment_for_another_plan_begins_it_at_once(setting: str, credits: int) -> None:
    who = account()
    paid(who, "a")
    with environment({"PLAN_CHANGE_CREDITS": setting}):
        paid(who, "b", "studio")
    assert (state(who), balance(who)) == (("active", "studio"), (credits, 0))
    assert_books_are_clean()


def test_what_costs_less_comes_with_the_end_if_it_is_paid_beyond_that() -> None:
    who = account()
    paid(who, "a", "studio")
    found = changed(who, "creator")
    assert (found.plan_id, found.next_plan_id, found.change_at) == ("studio", "creator", found.ends_at)
    paid(who, "b", "creator")
    assert (state(who), months(who), balance(who)) == (("active", "studio"), 2, (500, 0))
    with later(32):
        assert [accounts.grant_periods(100) for _ in range(2)] == [1, 0]
        accounts.expire_grants(100)
        assert (state(who), balance(who)) == (("active", "creator"), (250, 0))
        assert one("select next_plan_id, change_at from subscriptions") == (None, None)
    assert kinds(who)[-2:] == ["changed", "period"]
    assert_books_are_clean()


def test_a_change_that_is_to_come_is_undone_by_asking_for_the_plan_that_runs_or_paying_for_it() -> None:
    who = account()
    paid(who, "a", "studio")
    changed(who, "creator")
    assert changed(who, "studio").next_plan_id is None
    changed(who, "creator")
    paid(who, "b", "studio")
    assert one("select next_plan_id, change_at from subscriptions") == (None, None)


@pytest.mark.parametrize(("plan", "fields", "error"), [
    ("none", {}, NotFound), ("free", {}, InvalidRequest), ("studio", {"interval": "weekly"}, InvalidRequest),
])  # fmt: skip
def test_a_change_to_what_is_none_is_refused(plan: str, fields: dict[str, Any], error: type[DomainError]) -> None:
    who = account()
    with pytest.raises(NotFound):
        changed(who, "creator")
    paid(who, "a")
    with pytest.raises(error):
        changed(who, plan, **fields)


def test_a_deployment_does_not_change_to_another_products_plan() -> None:
    who = account()
    paid(who, "a")
    with environment({"PRODUCTS": "cineweave"}), pytest.raises(NotFound):
        changed(who, "pro", when="period_end")


# An end


def test_what_is_canceled_runs_to_its_end_without_days_of_grace() -> None:
    who = account()
    paid(who, "a")
    for _ in range(2):
        found = canceled(who)
        assert found is not None
        assert found.cancel_at_end
    assert (state(who), balance(who)) == (("active", "creator"), (250, 0))
    with later(32):
        assert [accounts.expire_subscriptions(100) for _ in range(2)] == [1, 0]
    assert (state(who), role(who)) == (("expired", "free"), "user")
    assert kinds(who) == ["started", "period", "canceled", "expired"]
    with pytest.raises(NotFound):
        resumed(who)
    assert_books_are_clean()


def test_a_cancel_is_undone_by_asking_or_by_paying() -> None:
    who = account()
    paid(who, "a")
    canceled(who)
    assert not resumed(who).cancel_at_end
    assert not resumed(who).cancel_at_end
    canceled(who)
    paid(who, "b")
    assert one("select cancel_at_end from subscriptions") == (False,)
    assert kinds(who) == ["started", "period", "canceled", "resumed", "canceled", "extended"]


def test_whoever_cancels_what_waits_for_its_payment_has_ended_it() -> None:
    who = account()
    paid(who, "a")
    with later(32):
        accounts.expire_subscriptions(100)
        assert canceled(who) is None
    assert state(who) == ("expired", "free")
    assert_books_are_clean()


# A trial


def test_a_trial_gives_a_plan_for_its_days_once_per_account() -> None:
    who = account()
    tried(who)
    assert (state(who), balance(who), role(who)) == (("trial", "reimaji-pro"), (500, 0), "pro")
    for plan in ("reimaji-pro", "creator"):
        with pytest.raises(InvalidRequest):
            tried(who, plan)
    with later(7.1):
        assert [accounts.expire_subscriptions(100) for _ in range(2)] == [1, 0]
        accounts.expire_grants(100)
        assert (state(who), balance(who), role(who)) == (("expired", "free"), (0, 0), "user")
        with pytest.raises(InvalidRequest, match="has had its trial"):
            tried(who)
    assert_books_are_clean()


def test_many_who_ask_for_a_trial_at_once_get_one() -> None:
    who = account()

    def ask() -> bool:
        try:
            tried(who)
        except InvalidRequest:
            return False
        return True

    with ThreadPoolExecutor(6) as threads:
        assert sum(each.result() for each in [threads.submit(ask) for _ in range(12)]) == 1
    assert balance(who) == (500, 0)
    assert_books_are_clean()


def test_who_pays_within_a_trial_has_the_months_after_it_and_with_a_refund_the_trial() -> None:
    who = account()
    tried(who)
    paid(who, "a", "reimaji-pro")
    assert (state(who)[0], months(who), balance(who)) == ("active", 1, (500, 0))
    assert unpaid("a")
    assert (state(who)[0], months(who), balance(who)) == ("trial", 0, (500, 0))
    paid(who, "b", "reimaji-pro")
    with later(7.1):
        assert [accounts.grant_periods(100) for _ in range(2)] == [1, 0]
        accounts.expire_grants(100)
        assert (state(who)[0], balance(who)) == ("active", (500, 0))
    assert_books_are_clean()
