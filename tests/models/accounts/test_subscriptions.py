"""Subscriptions: each month's credits once, expiring with the month; what has run out moves to the free plan."""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from common.errors import InvalidRequest, NotFound
from models.accounts import paid_periods
from models.db import transaction
from scheduler.duties import accounts, retention
from tests.conftest import environment
from tests.support import account, assert_books_are_clean, balance, one, rows

pytestmark = pytest.mark.usefixtures("database")
DAY = 86_400


def subscribe(account_id, plan="creator", interval="monthly"):
    with transaction() as conn:
        return paid_periods.subscribe(conn, account_id, plan, interval)


@contextmanager
def later(days: float) -> Iterator[None]:
    """So many days from now, with the months that the scheduler has made by then."""
    with environment({"CLOCK_OFFSET_SECONDS": str(round(days * DAY))}):
        retention.make_partitions(1)
        yield


def test_the_first_month_is_granted_at_once_and_expires_with_it() -> None:
    who = account()
    subscribe(who)
    assert balance(who) == (250, 0)
    assert one("select plan_id from accounts where id = %s", who) == ("creator",)
    assert one("select g.expires_at = s.ends_at from grants g, subscriptions s") == (True,)
    assert_books_are_clean()


def test_each_month_of_a_year_is_granted_once_however_often_the_duty_runs() -> None:
    who = account()
    subscribe(who, interval="yearly")
    for month in range(1, 4):
        with later(31 * month):
            assert accounts.grant_periods(100) == 1
            assert accounts.grant_periods(100) == 0
            accounts.expire_grants(100)
            assert balance(who) == (250, 0)  # the month before has expired
    assert_books_are_clean()


def test_months_that_passed_while_nobody_looked_are_not_granted_late() -> None:
    who = account()
    subscribe(who, interval="yearly")
    with later(3 * 31 + 1):  # two months have passed whole
        assert accounts.grant_periods(1) == 1
        assert accounts.grant_periods(1) == 1
        assert rows("select amount from grants where kind = 'plan'") == [(250,)], "a month that is over was granted"
        assert accounts.grant_periods(1) == 1
        assert accounts.grant_periods(1) == 0
        accounts.expire_grants(100)
        assert balance(who) == (250, 0)
        told = rows(
            "select data->'period', data->'granted' from events where type = 'subscription.period' order by number"
        )
        assert told == [(0, True), (1, False), (2, False), (3, True)]
    assert (
        one("select count(*), count(*) filter (where expires_at > app_now()) from grants where kind = 'plan'")[0] == 2
    )
    assert_books_are_clean()


def test_what_has_run_out_becomes_expired_and_the_account_free() -> None:
    who = account()
    subscribe(who, "pro")
    assert accounts.expire_subscriptions(100) == 0
    with later(32):
        assert accounts.grant_periods(100) == 0
        assert accounts.expire_subscriptions(100) == 1  # days of grace
        assert accounts.expire_subscriptions(100) == 0
        accounts.expire_grants(100)
        assert balance(who) == (0, 0)
        assert one("select status, plan_id from subscriptions") == ("past_due", "pro")
    with later(35):
        assert accounts.expire_subscriptions(100) == 1
        assert accounts.expire_subscriptions(100) == 0
        accounts.expire_grants(100)
        assert balance(who) == (0, 0)
    assert one("select plan_id from accounts where id = %s", who) == ("free",)
    assert one("select status from subscriptions") == ("expired",)
    assert_books_are_clean()


def test_subscribing_again_extends_from_the_end_and_another_plan_replaces() -> None:
    who = account()
    first = subscribe(who)
    assert subscribe(who) == first
    assert one("select ends_at = started_at + interval '2 months' from subscriptions") == (True,)
    assert balance(who) == (250, 0)
    second = subscribe(who, "studio")
    assert second != first
    assert balance(who) == (750, 0)
    assert dict(rows("select plan_id, status from subscriptions")) == {"creator": "canceled", "studio": "active"}


@pytest.mark.parametrize(("plan", "interval", "error"), [
    ("none", "monthly", NotFound), ("free", "monthly", InvalidRequest), ("pro", "weekly", InvalidRequest),
])  # fmt: skip
def test_nonsense_is_refused(plan: str, interval: str, error: type[Exception]) -> None:
    who = account()
    with pytest.raises(error):
        subscribe(who, plan, interval)
    assert rows("select 1 from subscriptions") == []


def test_the_plans_of_the_spec_are_there() -> None:
    plans = {
        row[0]: row[1:] for row in rows("select id, credits, price_cents, markup_bp, storage_quota_bytes from plans")
    }
    assert plans["starter"][:3] == (80, 1000, 8500)
    assert plans["creator"][:3] == (250, 3100, 7500)
    assert plans["studio"][:3] == (500, 6000, 7000)
    assert (plans["free"][0], plans["free"][3]) == (10, 10**9)
    assert (plans["pro"][0], plans["pro"][1], plans["pro"][3]) == (500, 2900, 100 * 10**9)
    assert (plans["enterprise"][0], plans["enterprise"][1], plans["enterprise"][3]) == (2000, None, 500 * 10**9)
