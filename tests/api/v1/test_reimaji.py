"""What docs/port-reimaji.md says of Xendit: a year is a year, once, for who ordered it, whatever the callback looks like."""

import json
from typing import Any
from uuid import UUID

import pytest
from fastapi.testclient import TestClient

from models.db import transaction
from scheduler.duties import accounts
from tests.api.v1.test_payments import admin, far, http, send, who
from tests.models.accounts.test_paid_periods import months, role, state
from tests.models.accounts.test_subscriptions import later
from tests.scheduler.duties.test_payments import Far, look
from tests.support import assert_books_are_clean, key_of, one, rows

__all__ = ["far", "http", "who"]  # fixtures
pytestmark = pytest.mark.usefixtures("database")


def order(http: TestClient, who: UUID, interval: str) -> tuple[str, str]:
    """A payment and its invoice."""
    body = {"plan": "reimaji-pro", "interval": interval, "currency": "IDR", "company": "xendit"}
    made = http.post("/v1/payments", json=body, headers={"authorization": f"Bearer {key_of(who)}"})
    assert made.status_code == 201, made.text
    return made.json()["id"], one("select company_id from payments where id = %s", made.json()["id"])[0]


@pytest.mark.parametrize(("interval", "count"), [("monthly", 1), ("yearly", 12)])
def test_a_plan_paid_by_an_invoice_gives_its_months_once_to_who_ordered_it(
    http: TestClient, far: Far, who: UUID, interval: str, count: int
) -> None:
    payment, invoice = order(http, who, interval)
    posted = far.xendit.pay(invoice)
    flat: dict[str, Any] = json.loads(posted.body)
    assert "event" not in flat
    assert flat["user_id"] == "the-merchant"
    for _ in range(2):
        for each in (posted, far.xendit.pay(invoice, status="SETTLED")):
            assert send(http, each).status_code == 200
            look()
    assert (state(who), months(who), role(who)) == (("active", "reimaji-pro"), count, "pro")
    assert rows("select count(*) from subscriptions") == [(1,)]
    assert rows("select count(*) from subscription_payments") == [(1,)]
    mine = {"authorization": f"Bearer {key_of(who)}"}
    assert http.get("/v1/subscription", headers=mine).json()["interval"] == interval
    assert http.get(f"/v1/payments/{payment}", headers=mine).json()["status"] == "paid"
    assert [each["title"] for each in http.get("/v1/notifications", headers=mine).json()["data"]] == [
        "Payment received"
    ]
    assert_books_are_clean()


def test_paying_again_goes_on_from_the_end_and_what_has_run_out_is_downgraded_and_told(
    http: TestClient, far: Far, who: UUID
) -> None:
    for _ in range(2):
        send(http, far.xendit.pay(order(http, who, "monthly")[1]))
        look()
    assert months(who) == 2
    with later(70):
        while accounts.expire_subscriptions(100):
            pass
        assert (state(who)[0], role(who)) == ("expired", "user")
        told = rows("select title from notifications where account_id = %s", who)
        assert ("Your subscription has expired",) in told


def test_the_amount_names_no_plan_and_an_unknown_order_is_kept_and_answered_200(
    http: TestClient, far: Far, who: UUID
) -> None:
    _, invoice = order(http, who, "yearly")
    far.xendit.pay(invoice, amount=155_000)  # a month's price, for an order of a year
    look()
    assert one("select problem, holds from payments") == ("underpaid", False)
    assert rows("select 1 from subscriptions") == []
    stranger = far.xendit._make({"external_id": "of-another-system", "amount": 155_000, "currency": "IDR"})["id"]
    assert send(http, far.xendit.pay(stranger)).status_code == 200
    look()
    assert rows("select 1 from subscriptions") == []


def test_an_admin_changes_a_role_and_a_user_their_preferences(http: TestClient, who: UUID) -> None:
    mine = {"authorization": f"Bearer {key_of(who)}"}
    user = one("select user_id from accounts where id = %s", who)[0]
    assert http.patch(f"/v1/admin/users/{user}", json={"role": "pro"}, headers=admin()).json()["role"] == "pro"
    chosen = {"language": "id", "notifications": False, "theme": "dark"}
    assert http.patch("/v1/me", json=chosen, headers=mine).status_code == 200
    found = http.get("/v1/me", headers=mine).json()
    assert chosen.items() <= found["preferences"].items()
    with transaction() as conn:
        assert conn.execute("select role from users where id = %s", [user]).fetchone() == ("pro",)
