"""What a payment gives: months, once; taken off with its money, put back with it, whoever asks how often and when."""

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from dateutil.relativedelta import relativedelta
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from uuid_utils.compat import uuid7

from common.errors import InvalidRequest
from models.accounts import paid_periods
from models.accounts.paid_periods import pay_subscription, repay, unpay
from models.db import transaction
from scheduler.duties import accounts
from tests.conftest import environment
from tests.depth import examples
from tests.models.access.test_budgets import at
from tests.models.accounts.test_subscriptions import later
from tests.models.hands import change
from tests.support import account, assert_books_are_clean, balance, model, one, placed, rows

pytestmark = pytest.mark.usefixtures("database")
START = datetime(2031, 1, 31, 10, tzinfo=UTC)


def paid(who: UUID, ref: str, plan: str = "creator", interval: str = "monthly", **fields: Any) -> UUID:
    with transaction() as conn:
        given = {"renewer": "xendit", **fields}
        return pay_subscription(conn, who, plan, interval, payment_ref=ref, **given)


def unpaid(ref: str) -> bool:
    with transaction() as conn:
        return unpay(conn, ref)


def repaid(ref: str) -> bool:
    with transaction() as conn:
        return repay(conn, ref)


def state(who: UUID) -> tuple[str, str]:
    """How the account's newest subscription stands, and the account's plan."""
    found = one(
        """select s.status, a.plan_id from subscriptions s join accounts a on a.id = s.account_id
            where a.id = %s order by s.id desc limit 1""",
        who,
    )
    return found[0], found[1]


def months(who: UUID) -> int:
    found: int = one(
        """select (extract(year from age(ends_at, coalesce(anchor, started_at))) * 12
                   + extract(month from age(ends_at, coalesce(anchor, started_at))))::int
             from subscriptions where account_id = %s order by id desc limit 1""",
        who,
    )[0]
    return found


def role(who: UUID) -> str:
    found: str = one("select u.role from users u join accounts a on a.user_id = u.id where a.id = %s", who)[0]
    return found


def kinds(who: UUID) -> list[str]:
    told = rows("select type from events where account_id = %s and type like 'subscription%%' order by number", who)
    return [row[0].removeprefix("subscription.") for row in told]


# Once per payment


def test_a_payment_gives_its_months_once_and_the_next_goes_on_from_the_end() -> None:
    who = account()
    first = paid(who, "a")
    assert [paid(who, "a"), paid(who, "a", "studio", "yearly"), paid(who, "b")] == [first] * 3
    assert (months(who), balance(who)) == (2, (250, 0))
    assert rows("select payment_ref, months from subscription_payments order by 1") == [("a", 1), ("b", 1)]
    [(ends, starts)] = rows(
        """select a.ends_at, b.starts_at from subscription_payments a, subscription_payments b
            where a.payment_ref = 'a' and b.payment_ref = 'b'"""
    )
    assert ends == starts
    assert_books_are_clean()


def test_one_payment_told_by_many_at_once_gives_its_months_once() -> None:
    who = account()
    with ThreadPoolExecutor(6) as threads:
        ids = {each.result() for each in [threads.submit(paid, who, "a") for _ in range(12)]}
        assert len(ids) == 1
        assert (months(who), balance(who)) == (1, (250, 0))
        done = [each.result() for each in [threads.submit(unpaid, "a") for _ in range(12)]]
        assert (sum(done), state(who), balance(who)) == (1, ("expired", "free"), (0, 0))
        done = [each.result() for each in [threads.submit(repaid, "a") for _ in range(12)]]
        assert (sum(done), state(who), balance(who)) == (1, ("active", "creator"), (250, 0))
    assert_books_are_clean()


@pytest.mark.parametrize("fields", [{"renewer": "paypal"}, {"interval": "weekly"}, {"plan": "free"}])
def test_nonsense_is_refused(fields: dict[str, Any]) -> None:
    with pytest.raises(InvalidRequest):
        paid(account(), "a", **fields)
    assert rows("select 1 from subscription_payments") == []


# One renewer


def test_a_company_that_renews_by_itself_stays_the_renewer_whoever_has_paid_for_once() -> None:
    who = account()
    paid(who, "in_1", renewer="stripe", company_id="sub_1")
    paid(who, "manual:1", renewer="manual")
    assert one("select renewer, company_id from subscriptions") == ("stripe", "sub_1")
    other = account()
    paid(other, "x", renewer="xendit")
    paid(other, "in_2", renewer="stripe", company_id="sub_2")
    found = one("select renewer, company_id from subscriptions where account_id = %s", other)
    assert found == ("stripe", "sub_2")


def test_a_period_ends_when_the_company_that_renews_it_says() -> None:
    who = account()
    with at(START):
        paid(who, "in_1", renewer="stripe", company_id="sub_1", period_end=datetime(2031, 2, 28, 9, 58, tzinfo=UTC))
        assert one("select ends_at from subscriptions")[0] == datetime(2031, 2, 28, 9, 58, tzinfo=UTC)
        paid(who, "in_2", renewer="stripe", company_id="sub_1", period_end=datetime(2031, 3, 31, 9, 58, tzinfo=UTC))
        assert one("select ends_at from subscriptions")[0] == datetime(2031, 3, 31, 9, 58, tzinfo=UTC)
        unpaid("in_1")
        assert one("select ends_at from subscriptions")[0] == datetime(2031, 2, 28, 9, 58, tzinfo=UTC)
    assert_books_are_clean()


def test_an_end_that_has_passed_is_no_end_for_who_pays_now() -> None:
    who = account()
    with at(START):
        paid(who, "in_1", renewer="stripe", company_id="sub_1", period_end=START - timedelta(days=1))
        assert one("select ends_at > app_now() + interval '27 days' from subscriptions") == (True,)


# Refunds


def test_what_has_nothing_left_ends_at_once_and_what_was_spent_of_its_credits_is_owed() -> None:
    who = account()
    paid(who, "a")
    placed(who, model(price={"credits": 30}))
    assert unpaid("a")
    assert (state(who), role(who)) == (("expired", "free"), "user")
    assert one("select available, reserved from accounts where id = %s", who) == (0, 30)
    assert kinds(who)[-1] == "expired"
    assert (unpaid("a"), unpaid("never")) == (False, False)
    assert_books_are_clean()


def test_of_many_months_a_refund_takes_its_own_off_the_end() -> None:
    who = account()
    paid(who, "a")
    paid(who, "year", interval="yearly")
    assert months(who) == 13
    assert unpaid("a")
    assert (months(who), state(who), balance(who)) == (12, ("active", "creator"), (250, 0))
    assert unpaid("year")
    assert (months(who), state(who), balance(who)) == (0, ("expired", "free"), (0, 0))
    assert (repaid("year"), repaid("year")) == (True, False)
    assert (months(who), state(who), balance(who), role(who)) == (12, ("active", "creator"), (250, 0), "pro")
    assert_books_are_clean()


def test_money_that_comes_again_too_late_gives_no_time_that_has_passed() -> None:
    who = account()
    paid(who, "a")
    unpaid("a")
    with later(60):
        assert repaid("a")
        assert (state(who), balance(who)) == (("expired", "free"), (0, 0))
    assert_books_are_clean()


@pytest.mark.parametrize(("plan", "more"), [("creator", 1), ("studio", 0)])
def test_money_that_comes_again_beside_another_subscription_lengthens_one_of_the_same_plan(
    plan: str, more: int
) -> None:
    who = account()
    paid(who, "a")
    unpaid("a")
    paid(who, "b", plan)
    before = months(who)
    assert repaid("a")
    assert (months(who), state(who)) == (before + more, ("active", plan))
    assert one("select count(*) from subscriptions where status = 'active'") == (1,)
    assert_books_are_clean()


# The end


@pytest.mark.parametrize("days", [35, 60])
def test_who_does_not_renew_has_days_of_grace_is_put_on_the_default_plan_and_told_once(days: int) -> None:
    """60: no scheduler ran for a month."""
    who = account()
    paid(who, "a")
    assert role(who) == "pro"
    if days == 35:
        with later(32):
            assert [accounts.expire_subscriptions(100) for _ in range(2)] == [1, 0]
            assert (state(who), role(who)) == (("past_due", "creator"), "pro")
    with later(days):
        assert [accounts.expire_subscriptions(100) for _ in range(2)] == [1, 0]
        assert (state(who), role(who)) == (("expired", "free"), "user")
    overdue = ["overdue"] if days == 35 else []
    assert kinds(who) == ["started", "period", *overdue, "expired"]
    told = [row[0] for row in rows("select kind from notifications order by event_number")]
    assert told == [f"subscription.{each}" for each in (*overdue, "expired")]
    assert_books_are_clean()


def test_who_pays_within_the_days_of_grace_goes_on_from_the_end_with_the_credits_of_the_month() -> None:
    who = account()
    first = paid(who, "a")
    with later(32):
        accounts.expire_subscriptions(100)
        accounts.expire_grants(100)
        assert (state(who), balance(who)) == (("past_due", "creator"), (0, 0))
        assert paid(who, "b") == first
        assert (state(who), months(who), balance(who)) == (("active", "creator"), 2, (250, 0))
        assert accounts.grant_periods(100) == 0
    assert_books_are_clean()


def test_an_admin_stays_one_and_whoever_loses_a_subscription_loses_its_role() -> None:
    who = account()
    change("update users set role = 'admin' where id = (select user_id from accounts where id = %s)", who)
    paid(who, "a")
    unpaid("a")
    assert role(who) == "admin"


# Rollover


@pytest.mark.parametrize(("most", "rolled"), [(0, 0), (100, 100), (1000, 220)])
def test_what_remains_of_a_month_goes_on_for_one_more_up_to_the_cap(most: int, rolled: int) -> None:
    who = account()
    with environment({"ROLLOVER_MAX_CREDITS": str(most)}):
        paid(who, "a", interval="yearly")
        placed(who, model(price={"credits": 30}))
    for month in (1, 2):
        with environment({"ROLLOVER_MAX_CREDITS": str(most)}), later(month * 31 + 0.01):
            if month == 2:
                accounts.expire_grants(100)  # whoever is first: the duty, or the month that begins
            assert [accounts.grant_periods(100) for _ in range(2)] == [1, 0]
            accounts.expire_grants(100)
            left = 250 + (rolled if month == 1 else min(most, 250))
            assert one("select available from accounts where id = %s", who) == (left,)
    assert_books_are_clean()


# Against a model of months

OPS = st.lists(
    st.one_of(
        st.tuples(st.just("pay"), st.sampled_from(["monthly", "monthly", "yearly"])),
        st.tuples(st.sampled_from(["unpay", "repay"]), st.integers(0, 5)),
        st.tuples(st.just("wait"), st.sampled_from([1, 2, 20, 31, 45])),
        st.tuples(st.just("duties"), st.just(0)),
    ),
    min_size=3,
    max_size=12,
)


class Months:
    """What a customer could reckon on their fingers: one plan, months from the first day, payments that count or do not."""

    def __init__(self) -> None:
        self.subscriptions: list[dict[str, Any]] = []
        self.payments: dict[str, dict[str, Any]] = {}

    def end(self, sub: dict[str, Any]) -> datetime:
        found: datetime = sub["anchor"] + relativedelta(months=sub["months"])
        return found

    def living(self) -> dict[str, Any] | None:
        return next((each for each in self.subscriptions if each["lives"]), None)

    def sweep(self, now: datetime) -> None:
        for sub in self.subscriptions:
            sub["lives"] = sub["lives"] and self.end(sub) + timedelta(days=3) > now

    def pay(self, ref: str, count: int, now: datetime) -> None:
        self.sweep(now)
        sub = self.living()
        if sub is None:
            sub = {"anchor": now, "months": 0, "lives": True}
            self.subscriptions.append(sub)
        sub["months"] += count
        self.payments[ref] = {"sub": sub, "months": count, "counts": True}

    def unpay(self, ref: str, now: datetime) -> None:
        payment = self.payments[ref]
        if payment["counts"]:
            payment["counts"] = False
            payment["sub"]["months"] -= payment["months"]
            if self.end(payment["sub"]) <= now:
                payment["sub"]["lives"] = False

    def repay(self, ref: str, now: datetime) -> None:
        payment, other = self.payments[ref], self.living()
        if not payment["counts"]:
            payment["counts"] = True
            payment["sub"] = other or payment["sub"]
            payment["sub"]["months"] += payment["months"]
            if self.end(payment["sub"]) > now:
                payment["sub"]["lives"] = True


@settings(max_examples=examples(12), deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(OPS)
def test_whatever_is_paid_refunded_and_paid_again_the_months_are_those_of_a_model(ops: list[tuple[str, Any]]) -> None:
    who, run, book, passed = account(), str(uuid7()), Months(), 0
    refs: list[str] = []
    for kind, what in ops:
        passed += what if kind == "wait" else 0
        with later(passed):
            now: datetime = one("select app_now()")[0]
            if kind == "pay":
                refs.append(f"{run}:{len(refs)}")
                book.pay(refs[-1], paid_periods.INTERVALS[what], now)
                paid(who, refs[-1], interval=what)
                book.subscriptions[-1]["anchor"] = one(
                    "select anchor from subscriptions where account_id = %s order by id desc limit 1", who
                )[0]
            elif kind in ("unpay", "repay") and refs:
                ref = refs[what % len(refs)]
                getattr(book, kind)(ref, now)
                (unpaid if kind == "unpay" else repaid)(ref)
            elif kind == "duties":
                book.sweep(now)
                accounts.expire_subscriptions(100)
                accounts.grant_periods(100)
                accounts.expire_grants(100)
            ends = [row[0] for row in rows("select ends_at from subscriptions where account_id = %s order by id", who)]
            assert ends == [book.end(sub) for sub in book.subscriptions]
            lives = book.living() is not None
            assert (one("select plan_id from accounts where id = %s", who)[0], role(who)) == (
                ("creator", "pro") if lives else ("free", "user")
            )
    assert_books_are_clean()
