"""What operators do with accounts over HTTP: each act once, with its reason, in the audit log."""

import time
from collections.abc import Iterator

import pytest
from fastapi.testclient import TestClient

from api.main import make_app
from models.access import api_keys
from models.db import transaction
from tests.conftest import environment
from tests.support import account, assert_books_are_clean, balance, key_of, model, one, order, place, rows

pytestmark = pytest.mark.usefixtures("database")


@pytest.fixture
def http() -> Iterator[TestClient]:
    with environment({"KEY_CACHE_SECONDS": "0"}), TestClient(make_app()) as client:
        yield client


@pytest.fixture
def boss() -> dict[str, str]:
    who = account()
    with transaction() as conn:
        conn.execute("update users set role = 'admin' where id = (select user_id from accounts where id = %s)", [who])
        secret = api_keys.create(conn, who, api_keys.NewKey("admin", scopes=("read", "admin")))[1]
    return {"authorization": f"Bearer {secret}"}


def test_credits_are_given_once_and_taken_back_with_a_reason(http: TestClient, boss: dict[str, str]) -> None:
    who = account(amount=5)
    url = f"/v1/admin/accounts/{who}"
    body = {"amount": 20, "reason": "they waited", "kind": "goodwill"}
    for _ in range(2):
        given = http.post(f"{url}/grants", json=body, headers={**boss, "idempotency-key": "g"})
        assert (given.status_code, given.json()["available"]) == (201, 25)
    place(order(who, model(price={"credits": 7})))
    taken = http.post(f"{url}/take-back", json={"amount": 10, "reason": "by mistake"}, headers=boss)
    assert (taken.status_code, taken.json()) == (
        200,
        {"account_id": str(who), "available": 8, "reserved": 7, "debt": 0},
    )
    more = http.post(f"{url}/take-back", json={"amount": 9, "reason": "x"}, headers=boss)
    assert (more.status_code, more.json()["param"]) == (422, "amount")
    for path in ("grants", "take-back"):
        assert http.post(f"{url}/{path}", json={"amount": 1}, headers=boss).json()["param"] == "reason"
        assert http.post(f"{url}/{path}", json={"amount": 0, "reason": "x"}, headers=boss).json()["param"] == "amount"
        assert (
            http.post(f"/v1/admin/accounts/none/{path}", json={"amount": 1, "reason": "x"}, headers=boss).status_code
            == 404
        )
        assert (
            http.post(f"{url}/{path}", json=body, headers={"authorization": f"Bearer {key_of(who)}"}).status_code == 403
        )
    acts = rows(
        "select action, details->>'reason', details->>'amount' from acts where subject = %s order by id", str(who)
    )
    assert acts == [("credits.grant", "they waited", "20"), ("credits.take_back", "by mistake", "10")]
    assert_books_are_clean()


def test_who_is_suspended_is_refused_and_their_jobs_go_on(http: TestClient, boss: dict[str, str]) -> None:
    who = account(amount=5)
    mine = {"authorization": f"Bearer {key_of(who)}"}
    user = one("select user_id from accounts where id = %s", who)[0]
    place(order(who, model(price={"credits": 3})))
    for _ in range(2):
        answer = http.post(f"/v1/admin/users/{user}/suspend", json={"reason": "abuse"}, headers=boss)
        assert answer.json()["suspended_at"]
    refused = http.get("/v1/credits", headers=mine)
    assert (refused.status_code, refused.json()["code"]) == (403, "suspended")
    assert balance(who) == (2, 3)
    assert (
        http.post(f"/v1/admin/users/{user}/resume", json={"reason": "talked"}, headers=boss).json()["suspended_at"]
        is None
    )
    time.sleep(0.01)
    assert http.get("/v1/credits", headers=mine).status_code == 200
    acts = rows("select action, details->>'reason' from acts where subject = %s order by id", str(user))
    assert acts == [("user.suspend", "abuse"), ("user.resume", "talked")]


def test_accounts_are_opened_once_and_found_by_what_is_known_of_them(http: TestClient, boss: dict[str, str]) -> None:
    body = {"issuer": "https://id.example", "subject": "user_9", "email": "nine@example.com", "plan": "free"}
    first, again = (http.post("/v1/admin/users", json=body, headers=boss) for _ in range(2))
    assert (first.status_code, again.status_code) == (201, 200)
    user = first.json()
    assert again.json() == user
    assert balance(user["account_id"]) == (10, 0)
    prefix = rows("select prefix from api_keys where account_id = %s", user["account_id"]) or None
    assert prefix is None
    key_of(user["account_id"])
    prefix = one("select prefix from api_keys where account_id = %s", user["account_id"])[0]
    http.post("/v1/admin/users", json={**body, "issuer": "local", "email": None}, headers=boss)
    for wanted in (
        {"email": "nine@example.com"},
        {"issuer": "https://id.example", "subject": "user_9"},
        {"key_prefix": prefix},
    ):
        found = http.get("/v1/admin/users", params=wanted, headers=boss).json()["data"]
        assert [each["id"] for each in found] == [user["id"]]
    assert http.post("/v1/admin/users", json={**body, "subject": "x", "plan": "none"}, headers=boss).status_code == 404
    assert rows("select action from acts where subject = %s", user["account_id"]) == [("account.open",)]


def test_plans_are_given_and_changed_by_hand_with_a_reason(http: TestClient, boss: dict[str, str]) -> None:
    who = account()
    url = f"/v1/admin/accounts/{who}"
    body = {"plan": "creator", "interval": "yearly", "reason": "by bank"}
    for _ in range(2):
        given = http.post(f"{url}/subscribe", json=body, headers={**boss, "idempotency-key": "s"})
        assert (given.status_code, given.json()["plan"], given.json()["interval"]) == (200, "creator", "yearly")
    changed = http.post(f"{url}/change-plan", json={"plan": "studio", "reason": "agreed"}, headers=boss)
    assert (changed.status_code, changed.json()["plan"]) == (200, "studio")
    later = http.post(
        f"{url}/change-plan", json={"plan": "creator", "when": "period_end", "reason": "too much"}, headers=boss
    )
    assert later.json()["next_plan"] == "creator"
    for path in ("subscribe", "change-plan"):
        for wrong in ({}, {"reason": ""}, {"reason": "   "}):
            answer = http.post(f"{url}/{path}", json={"plan": "creator", **wrong}, headers=boss)
            assert (answer.status_code, answer.json()["param"]) == (422, "reason")
        mine = {"authorization": f"Bearer {key_of(who)}"}
        assert http.post(f"{url}/{path}", json={"plan": "creator", "reason": "x"}, headers=mine).status_code == 403
    assert rows("select count(*) from subscriptions") == [(1,)]
    acts = rows(
        "select action, details->>'reason' from acts where subject = %s and action like 'plan%%' order by id", str(who)
    )
    assert acts == [("plan.paid", "by bank"), ("plan.changed", "agreed"), ("plan.planned", "too much")]
    assert_books_are_clean()
