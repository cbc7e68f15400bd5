"""Orders: of a plan that a company renews by itself there is one at a time, so that nobody is billed twice."""

from uuid import UUID

import pytest

from common.errors import InvalidRequest
from models.db import transaction
from models.payments import orders
from tests.models.hands import change
from tests.support import account, one

pytestmark = pytest.mark.usefixtures("database")


def order(who: UUID, company: str = "stripe", plan: str = "starter", interval: str = "monthly") -> UUID:
    with transaction() as conn:
        return orders.create(conn, who, orders.find_plan(conn, plan, interval, "USD"), company)


def test_a_plan_that_stripe_would_renew_waits_once() -> None:
    who, other = account(), account()
    first = order(who)
    assert order(who) == first
    assert order(other) != first
    assert order(who, plan="creator") != first, "another plan takes its place when it is paid"
    assert order(who, company="manual") != order(who, company="manual"), "those are renewed by whoever pays"
    change("update payments set expires_at = app_now() where id = %s", first)
    assert order(who) != first


def test_one_that_waits_at_another_price_is_named() -> None:
    who = account()
    change(
        'update plans set prices = \'{"monthly": {"USD": "10.00"}, "yearly": {"USD": "99.50"}}\' where id = \'starter\''
    )
    first = order(who)
    with pytest.raises(InvalidRequest, match="for 10 USD monthly waits to be paid") as refused:
        order(who, interval="yearly")
    assert refused.value.extra["payment"] == str(first)
    assert one("select count(*) from payments") == (1,)
