"""Refills: whose card is charged by itself, and whose never."""

import pytest

from models.db import transaction
from models.identity import erasure
from models.payments import refills
from scheduler.duties import payments
from scheduler.turns import Aside
from tests.models.payments.shop import pack
from tests.scheduler.duties.test_payments import PRICES, customer
from tests.support import rows


@pytest.fixture(autouse=True)
def sold(database: str, monkeypatch: pytest.MonkeyPatch) -> None:
    del database
    monkeypatch.setattr(payments, "_refills", Aside())
    pack(**PRICES)


def test_a_refill_of_a_pack_that_is_not_sold_any_more_is_paused_and_told_once() -> None:
    who = customer()
    with transaction() as conn:
        conn.execute(
            """insert into refills (account_id, pack_id, currency, threshold, monthly_limit, company, customer_id, card_id)
               values (%s, 'small', 'EUR', 50, 1000, 'stripe', 'cus_1', 'pm_1')""",
            [who],
        )
    for _ in range(2):
        payments._refills = Aside()
        did = payments.order_refills(10)
        assert did.errors == ()
    assert rows("select paused is not null from refills") == [(True,)]
    assert rows("select type from events where account_id = %s and type = 'refill.paused'", who) == [("refill.paused",)]
    assert rows("select count(*) from payments where purpose = 'refill'") == [(0,)]


@pytest.mark.parametrize("change", ["deleted_at = now()", "banned = true", "suspended_at = now()"])
def test_nobody_buys_by_itself_for_who_is_shut_out(change: str) -> None:
    who = customer()
    users = f"where id = (select user_id from accounts where id = '{who}')"
    with transaction() as conn:
        conn.execute(
            """insert into refills (account_id, pack_id, currency, threshold, monthly_limit, company, customer_id, card_id)
               values (%s, 'small', 'USD', 50, 1000, 'stripe', 'cus_1', 'pm_1')""",
            [who],
        )
        conn.execute(f"update users set {change} {users}")
    payments.order_refills(10)
    with transaction() as conn:
        assert refills.order(conn, who) is None  # picked before they were
    assert rows("select count(*) from payments where purpose = 'refill'") == [(0,)]
    with transaction() as conn:
        conn.execute(f"update users set deleted_at = null, banned = false, suspended_at = null {users}")
    payments._refills = Aside()
    payments.order_refills(10)
    assert rows("select count(*) from payments where purpose = 'refill'") == [(1,)]


def test_who_is_deleted_leaves_no_card_to_be_charged() -> None:
    who = customer()
    with transaction() as conn:
        conn.execute(
            """insert into refills (account_id, pack_id, currency, threshold, monthly_limit, company, customer_id, card_id)
               values (%s, 'small', 'USD', 50, 1000, 'stripe', 'cus_1', 'pm_1')""",
            [who],
        )
        erasure.erase_account(conn, who)
    assert rows("select count(*) from refills") == [(0,)]
