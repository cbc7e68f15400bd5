"""A user's own page, and what they prefer."""

from collections.abc import Iterator
from typing import Any

import pytest
from fastapi.testclient import TestClient

from api.main import make_app
from models.credits import ledger
from models.db import transaction
from models.events import events
from models.locks import lock_account
from tests.conftest import environment
from tests.models.payments.shop import ordered, pack, told
from tests.support import account, key_of, rows

pytestmark = pytest.mark.usefixtures("database")


@pytest.fixture
def http() -> Iterator[TestClient]:
    with TestClient(make_app()) as client:
        yield client


def test_everything_of_oneself_is_on_one_page(http: TestClient) -> None:
    who, _ = account(amount=7), pack()
    told(ordered(who, company="stripe"), customer_id="cus_7")
    found = http.get("/v1/me", headers={"authorization": f"Bearer {key_of(who)}"}).json()
    assert (found["account_id"], found["plan"], found["role"]) == (str(who), "free", "user")
    assert found["balance"] == {"available": 107, "reserved": 0, "debt": 0}
    assert found["storage"] == {"used_bytes": 0, "quota_bytes": 1_000_000_000}
    assert found["customers"] == {"stripe": "cus_7"}
    assert found["subscription"] is None
    assert found["preferences"] == {
        "language": "en",
        "notifications": True,
        "theme": "system",
        "mail": True,
        "time_zone": "UTC",
    }


def test_new_users_prefer_what_the_deployment_says_and_then_what_they_say(http: TestClient) -> None:
    who = account()
    mine = {"authorization": f"Bearer {key_of(who)}"}
    with environment({"PREFERRED_LANGUAGE": "id", "PREFERRED_THEME": "light"}):
        assert http.get("/v1/me", headers=mine).json()["preferences"] == {
            "language": "id", "notifications": True, "theme": "light", "mail": True, "time_zone": "UTC",
        }  # fmt: skip
        changed = http.patch("/v1/me", json={"theme": "dark"}, headers=mine).json()["preferences"]
        assert changed == {"language": "id", "notifications": True, "theme": "dark", "mail": True, "time_zone": "UTC"}
        assert http.patch("/v1/me", json={}, headers=mine).json()["preferences"] == changed


@pytest.mark.parametrize(
    "body",
    [
        {"language": "x"},
        {"language": "a" * 40},
        {"theme": "pink"},
        {"mail": "often"},
        {"email": "a@b.c"},
        {"role": "admin"},
    ],
)
def test_what_is_no_preference_is_refused_by_its_name(http: TestClient, body: dict[str, Any]) -> None:
    answer = http.patch("/v1/me", json=body, headers={"authorization": f"Bearer {key_of(account())}"})
    assert (answer.status_code, answer.json()["param"]) == (422, next(iter(body)))


@pytest.mark.parametrize(("chosen", "notices", "mails"), [
    ({}, 1, 1), ({"mail": False}, 1, 0), ({"notifications": False}, 0, 0),
])  # fmt: skip
def test_who_wants_no_mail_gets_none(http: TestClient, chosen: dict[str, Any], notices: int, mails: int) -> None:
    who = account()
    with transaction() as conn:
        conn.execute("update users set email = 'a@example.com'")
    http.patch("/v1/me", json=chosen, headers={"authorization": f"Bearer {key_of(who)}"})
    with environment({"SMTP_URL": "smtp://127.0.0.1:1"}), transaction() as conn:
        lock_account(conn, who)
        events.add(conn, who, "payment.succeeded", {"paid": "1.00 USD"})
        ledger.grant(conn, who, kind="gift", amount=1, ref="x")
    assert rows("select count(*) from notifications where account_id = %s", who) == [(notices,)]
    assert rows("select count(*) from deliveries where account_id = %s and channel = 'email'", who) == [(mails,)]
