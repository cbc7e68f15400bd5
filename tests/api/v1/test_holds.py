"""Holds, grants' terms, alerts and labels over HTTP."""

from collections.abc import Iterator
from typing import Any
from uuid import UUID

import pytest
from fastapi.testclient import TestClient
from uuid_utils.compat import uuid7

from api.main import make_app
from models.access import api_keys
from models.db import transaction
from tests.support import account, assert_books_are_clean, balance, key_of, model, one, rows

pytestmark = pytest.mark.usefixtures("database")


@pytest.fixture
def http() -> Iterator[TestClient]:
    model("picture", price={"credits": 4})
    with TestClient(make_app()) as client:
        yield client


@pytest.fixture
def who() -> UUID:
    return account(amount=100)


def head(who: UUID, **more: str) -> dict[str, str]:
    return {"authorization": f"Bearer {key_of(who)}", **more}


def admin() -> dict[str, str]:
    who = account()
    with transaction() as conn:
        conn.execute("update users set role = 'admin' where id = (select user_id from accounts where id = %s)", [who])
        secret = api_keys.create(conn, who, api_keys.NewKey("admin", scopes=("read", "write", "admin")))[1]
    return {"authorization": f"Bearer {secret}"}


def test_a_product_reserves_settles_and_refunds_in_three_calls(http: TestClient, who: UUID) -> None:
    mine = head(who)
    made = http.post(
        "/v1/holds", json={"amount": 40, "reference": "video-1", "labels": {"customer": "acme"}}, headers=mine
    )
    assert made.status_code == 201, made.text
    hold = made.json()
    assert made.headers["location"] == f"/v1/holds/{hold['id']}"
    assert (hold["held"], hold["ended"], hold["labels"]) == (40, None, {"customer": "acme"})
    assert http.get("/v1/credits", headers=mine).json()["reserved"] == 40
    settled = http.post(f"/v1/holds/{hold['id']}/settle", json={"amount": 25}, headers=mine).json()
    assert (settled["settled"], settled["held"]) == (25, 15)
    refunded = http.post(f"/v1/holds/{hold['id']}/release", json={}, headers=mine).json()
    assert (refunded["released"], refunded["held"], refunded["ended"]) == (15, 0, "released")
    assert http.get(f"/v1/holds/{hold['id']}", headers=mine).json() == refunded
    assert balance(who) == (75, 0)
    over = http.post(f"/v1/holds/{hold['id']}/settle", json={"amount": 1}, headers=mine)
    assert (over.status_code, over.json()["code"], over.json()["settled"]) == (400, "hold_ended", 25)
    assert_books_are_clean()


def test_the_same_request_settles_once(http: TestClient, who: UUID) -> None:
    mine = head(who)
    made = http.post("/v1/holds", json={"amount": 40}, headers={**mine, "idempotency-key": "a"})
    again = http.post("/v1/holds", json={"amount": 40}, headers={**mine, "idempotency-key": "a"})
    assert (again.json(), again.headers["idempotent-replayed"]) == (made.json(), "true")
    place = f"/v1/holds/{made.json()['id']}/settle"
    for _ in range(3):
        assert http.post(place, json={"amount": 10}, headers={**mine, "idempotency-key": "b"}).json()["settled"] == 10
    assert balance(who) == (60, 30)
    longer = http.post(f"/v1/holds/{made.json()['id']}/extend", json={"seconds": 86_400}, headers=mine).json()
    assert longer["expires_at"] > made.json()["expires_at"]


@pytest.mark.parametrize(("body", "param"), [
    ({"amount": 0}, "amount"), ({"amount": -1}, "amount"), ({"amount": 10**16}, "amount"), ({"amount": "1"}, "amount"), ({}, "amount"),
    ({"amount": 1, "seconds": 0}, "seconds"), ({"amount": 1, "seconds": 31 * 86_400 + 1}, "seconds"), ({"amount": 1, "reference": ""}, "reference"),
    ({"amount": 1, "reference": "a\nb"}, "reference"), ({"amount": 1, "kind": "smell"}, "kind"), ({"amount": 1, "labels": {"A": "b"}}, "labels"),
    ({"amount": 1, "labels": {"a": ""}}, "labels"), ({"amount": 1, "labels": {str(n): "x" for n in range(9)}}, "labels"),
    ({"amount": 1, "labels": {"a": "x" * 65}}, "labels.a"), ({"amount": 1, "labels": {"a": 1}}, "labels.a"), ({"amount": 1, "nonsense": 1}, "nonsense"),
])  # fmt: skip
def test_what_is_no_hold_is_refused_by_its_field(http: TestClient, who: UUID, body: dict[str, Any], param: str) -> None:
    answer = http.post("/v1/holds", json=body, headers=head(who))
    assert (answer.status_code, answer.json()["param"]) == (422, param), answer.text
    assert balance(who) == (100, 0)


def test_holds_are_listed_by_label_and_are_nobody_elses(http: TestClient, who: UUID) -> None:
    mine, theirs = head(who), head(account(amount=5))
    for customer in ("acme", "acme", "b"):
        http.post("/v1/holds", json={"amount": 1, "labels": {"customer": customer}}, headers=mine)
    found = http.get("/v1/holds", params={"label": "customer:acme", "limit": 1, "open": True}, headers=mine).json()
    assert (len(found["data"]), found["next"] is not None) == (1, True)
    rest = http.get("/v1/holds", params={"label": "customer:acme", "cursor": found["next"]}, headers=mine).json()
    assert len(rest["data"]) == 1
    assert http.get("/v1/holds", headers=theirs).json()["data"] == []
    for act, body in (("settle", {"amount": 1}), ("release", {}), ("extend", {"seconds": 5})):
        assert http.post(f"/v1/holds/{found['data'][0]['id']}/{act}", json=body, headers=theirs).status_code == 404
    assert http.get(f"/v1/holds/{uuid7()}", headers=mine).status_code == 404
    assert http.get("/v1/holds", params={"label": "customer"}, headers=mine).status_code == 422


def test_labels_of_a_job_are_on_it_in_lists_and_in_its_events(http: TestClient, who: UUID) -> None:
    mine = head(who)
    for labels in ({"customer": "acme", "team": "x"}, {"customer": "b"}, None):
        body: dict[str, Any] = {"model": "picture", "input": {}} | ({"labels": labels} if labels else {})
        made = http.post("/v1/jobs", json=body, headers=mine)
        assert (made.status_code, made.json()["labels"]) == (201, labels or {})
    found = http.get("/v1/jobs", params={"label": "customer:acme"}, headers=mine).json()["data"]
    assert [each["labels"] for each in found] == [{"customer": "acme", "team": "x"}]
    assert http.post(f"/v1/jobs/{found[0]['id']}/cancel", headers=mine).json()["status"] == "canceled"
    again = http.post(f"/v1/jobs/{found[0]['id']}/retry", headers=mine)
    assert again.json()["labels"] == {"customer": "acme", "team": "x"}
    said = rows("select type, data->'labels' from events where job_id = %s order by number", found[0]["id"])
    assert said == [
        ("job.queued", {"customer": "acme", "team": "x"}),
        ("job.canceled", {"customer": "acme", "team": "x"}),
    ]
    bad = http.post("/v1/jobs", json={"model": "picture", "input": {}, "labels": {"customer": "x" * 65}}, headers=mine)
    assert (bad.status_code, bad.json()["param"]) == (422, "labels.customer")


def test_an_admin_gives_credits_for_some_models_and_the_figures_say_so(http: TestClient) -> None:
    who = account()
    given = {"amount": 50, "reason": "a campaign", "models": ["dear"], "kinds": ["video"], "priority": 3}
    assert http.post(f"/v1/admin/accounts/{who}/grants", json=given, headers=admin()).status_code == 201
    mine = head(who)
    (grant,) = http.get("/v1/credits/grants", headers=mine).json()["data"]
    assert (grant["models"], grant["kinds"], grant["priority"], grant["paid_per_credit"]) == (
        ["dear"],
        ["video"],
        3,
        None,
    )
    refused = http.post("/v1/jobs", json={"model": "picture", "input": {}}, headers=mine)
    assert refused.status_code == 402
    assert (refused.json()["needed"], refused.json()["available"], refused.json()["for_other_models"]) == (4, 0, 50)
    quote = http.post("/v1/quotes", json={"model": "picture", "input": {}}, headers=mine).json()
    assert (quote["available"], quote["enough"]) == (0, False)
    assert http.post("/v1/holds", json={"amount": 5, "model": "dear"}, headers=mine).status_code == 201


def test_a_key_for_some_models_holds_for_one_of_them_alone(http: TestClient, who: UUID) -> None:
    with transaction() as conn:
        secret = api_keys.create(conn, who, api_keys.NewKey("k", models=["dear"]))[1]
    mine = {"authorization": f"Bearer {secret}"}
    for model_id, status in ((None, 403), ("picture", 403), ("dear", 201)):
        body = {"amount": 1} | ({"model": model_id} if model_id else {})
        assert http.post("/v1/holds", json=body, headers=mine).status_code == status
    assert balance(who) == (99, 1)


def test_a_holds_entries_name_it(http: TestClient, who: UUID) -> None:
    hold = http.post("/v1/holds", json={"amount": 5}, headers=head(who)).json()
    found = http.get("/v1/credits/entries", headers=head(who)).json()["data"]
    assert [(each["kind"], each["job_id"], each["hold_id"]) for each in found] == [
        ("reserve", None, hold["id"]),
        ("grant", None, None),
    ]


def test_alerts_are_chosen_and_told_once_per_crossing(http: TestClient, who: UUID) -> None:
    mine = head(who)
    assert http.get("/v1/credits/alerts", headers=mine).json() == {"limits": [10], "own": False}
    assert http.put("/v1/credits/alerts", json={"limits": [20, 90, 50, 50]}, headers=mine).json() == {
        "limits": [90, 50, 20],
        "own": True,
    }
    hold = http.post("/v1/holds", json={"amount": 60}, headers=mine).json()
    http.post("/v1/holds", json={"amount": 5}, headers=mine)
    http.post(f"/v1/holds/{hold['id']}/release", json={}, headers=mine)
    http.post("/v1/holds", json={"amount": 10}, headers=mine)
    said = rows(
        "select (data->>'limit')::int from events where account_id = %s and type = 'credits.low' order by number", who
    )
    assert said == [(90,), (50,), (90,)]
    assert http.put("/v1/credits/alerts", json={"limits": []}, headers=mine).json() == {"limits": [], "own": True}
    assert http.put("/v1/credits/alerts", json={"limits": None}, headers=mine).json()["own"] is False
    assert http.put("/v1/credits/alerts", json={"limits": [0]}, headers=mine).status_code == 422
    assert one("select credit_alerts from accounts where id = %s", who) == (None,)
