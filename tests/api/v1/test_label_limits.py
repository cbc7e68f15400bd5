"""Limits of labels over HTTP: set, looked at, felt by orders, taken away; and where labels are shown."""

from collections.abc import Iterator
from typing import Any
from uuid import UUID

import pytest
from fastapi.testclient import TestClient

from api.main import make_app
from models.access import api_keys
from models.db import transaction
from models.events import endpoints
from tests.support import account, assert_books_are_clean, balance, key_of, model, one, rows

pytestmark = pytest.mark.usefixtures("database")

PLACE = "/v1/labels/limits"


@pytest.fixture
def http() -> Iterator[TestClient]:
    model("picture", price={"credits": 4})
    with TestClient(make_app()) as client:
        yield client


@pytest.fixture
def who() -> UUID:
    return account(amount=100)


def head(who: UUID, **fields: Any) -> dict[str, str]:
    if not fields:
        return {"authorization": f"Bearer {key_of(who)}"}
    with transaction() as conn:
        return {"authorization": f"Bearer {api_keys.create(conn, who, api_keys.NewKey('test', **fields))[1]}"}


def test_a_customer_may_spend_so_much_and_every_other_so_much(http: TestClient, who: UUID) -> None:
    mine = head(who)

    def ordered(customer: str) -> Any:
        body = {"model": "picture", "input": {}, "labels": {"customer": customer}}
        return http.post("/v1/jobs", json=body, headers=mine)

    def put(value: str, credits: int) -> Any:
        return http.put(PLACE, json={"name": "customer", "value": value, "monthly_credits": credits}, headers=mine)

    assert ordered("acme").status_code == 201
    made = put("acme", 8)
    assert made.status_code == 200, made.text
    assert {**made.json(), "created_at": None} == {
        "name": "customer", "value": "acme", "monthly_credits": 8, "spent_this_month": 4, "created_at": None,
    }  # fmt: skip
    assert put("*", 4).json()["spent_this_month"] is None
    assert [ordered(each).status_code for each in ("acme", "acme", "b", "b", "c")] == [201, 402, 201, 402, 201]
    refused = ordered("acme").json()
    assert refused["code"] == "label_limit_exceeded"
    assert (refused["label"], refused["needed"], refused["spent"], refused["limit"]) == ("customer:acme", 4, 8, 8)
    assert not refused["retryable"]
    hold = http.post("/v1/holds", json={"amount": 1, "labels": {"customer": "b"}}, headers=mine)
    assert (hold.status_code, hold.json()["code"], hold.json()["label"]) == (402, "label_limit_exceeded", "customer:b")
    assert balance(who) == (84, 16)
    assert [(each["value"], each["spent_this_month"]) for each in http.get(PLACE, headers=mine).json()["data"]] == [
        ("*", None), ("acme", 8),
    ]  # fmt: skip
    assert http.delete(PLACE, params={"name": "customer", "value": "*"}, headers=mine).status_code == 204
    assert [ordered(each).status_code for each in ("acme", "b")] == [402, 201]
    assert_books_are_clean()


def test_an_order_again_counts_for_the_labels_that_it_keeps(http: TestClient, who: UUID) -> None:
    mine = head(who)
    job = http.post(
        "/v1/jobs", json={"model": "picture", "input": {}, "labels": {"customer": "acme"}}, headers=mine
    ).json()
    http.put(PLACE, json={"name": "customer", "value": "acme", "monthly_credits": 4}, headers=mine)
    assert http.post(f"/v1/jobs/{job['id']}/cancel", headers=mine).json()["status"] == "canceled"
    again = {**mine, "idempotency-key": "again"}
    assert [http.post(f"/v1/jobs/{job['id']}/retry", headers=again).status_code for _ in range(2)] == [201, 201], (
        "one job"
    )
    assert http.post(f"/v1/jobs/{job['id']}/retry", headers=mine).json()["code"] == "label_limit_exceeded"
    assert one("select count(*) from jobs") == (2,)


@pytest.mark.parametrize(("change", "param"), [
    ({"name": ""}, "name"), ({"name": "A"}, "name"), ({"name": "a\0"}, "body"), ({"name": "a\n"}, "name"), ({"name": "x" * 33}, "name"), ({"name": 1}, "name"),
    ({"name": None}, "name"), ({"value": ""}, "value"), ({"value": "a\0b"}, "body"), ({"value": "x" * 65}, "value"), ({"value": "x" * 100_000}, "value"),
    ({"value": ["a"]}, "value"), ({"value": "a\u202eb"}, "value"), ({"monthly_credits": -1}, "monthly_credits"), ({"monthly_credits": True}, "monthly_credits"),
    ({"monthly_credits": "5"}, "monthly_credits"), ({"monthly_credits": 1.5}, "monthly_credits"), ({"monthly_credits": 2**53 + 1}, "monthly_credits"),
    ({"monthly_credits": 10**40}, "monthly_credits"), ({"monthly_credits": None}, "monthly_credits"), ({"nonsense": 1}, "nonsense"),
])  # fmt: skip
def test_what_is_no_limit_is_refused_by_its_field(
    http: TestClient, who: UUID, change: dict[str, Any], param: str
) -> None:
    body = {"name": "customer", "value": "acme", "monthly_credits": 5} | change
    answer = http.put(PLACE, json=body, headers=head(who))
    assert (answer.status_code, answer.json()["param"]) == (422, param), answer.text
    assert rows("select 1 from label_limits") == []


@pytest.mark.parametrize(("name", "value", "status"), [
    ("customer", "b", 404), ("team", "acme", 404), ("customer", None, 422), (None, "acme", 422), ("A", "b", 422), ("customer", "a\0b", 422),
    ("customer", "x" * 65, 422), ("customer", "*", 404),
])  # fmt: skip
def test_what_there_is_not_cannot_be_taken_away(
    http: TestClient, who: UUID, name: str | None, value: str | None, status: int
) -> None:
    mine = head(who)
    http.put(PLACE, json={"name": "customer", "value": "acme", "monthly_credits": 5}, headers=mine)
    asked = {key: text for key, text in (("name", name), ("value", value)) if text is not None}
    assert http.delete(PLACE, params=asked, headers=mine).status_code == status
    assert len(http.get(PLACE, headers=mine).json()["data"]) == 1


def test_a_value_may_be_anything_that_can_be_printed(http: TestClient, who: UUID) -> None:
    mine, values = head(who), ["a/b?c=d&e", "Ünï ☃", "..", "%00", "a:b", "0", "\U0001f42c" * 64, " "]
    for value in values:
        made = http.put(PLACE, json={"name": "customer", "value": value, "monthly_credits": 0}, headers=mine)
        assert (made.status_code, made.json()["value"]) == (200, value)
        order = {"model": "picture", "input": {}, "labels": {"customer": value}}
        assert http.post("/v1/jobs", json=order, headers=mine).json()["label"] == f"customer:{value}"
    found, cursor = list[str](), None
    while cursor or not found:
        page = http.get(PLACE, params={"limit": 2} | ({"cursor": cursor} if cursor else {}), headers=mine).json()
        found, cursor = [*found, *(each["value"] for each in page["data"])], page["next"]
    assert sorted(found) == sorted(values)
    for value in values:
        assert http.delete(PLACE, params={"name": "customer", "value": value}, headers=mine).status_code == 204
    assert http.get(PLACE, headers=mine).json()["data"] == []


def test_limits_are_their_accounts_and_need_their_scope(http: TestClient, who: UUID) -> None:
    mine, theirs = head(who), head(account(amount=100))
    body = {"name": "customer", "value": "acme", "monthly_credits": 0}
    assert http.put(PLACE, json=body, headers=mine).status_code == 200
    assert http.get(PLACE, headers=theirs).json() == {"data": [], "next": None}
    assert http.delete(PLACE, params={"name": "customer", "value": "acme"}, headers=theirs).status_code == 404
    order = {"model": "picture", "input": {}, "labels": {"customer": "acme"}}
    assert http.post("/v1/jobs", json=order, headers=theirs).status_code == 201
    assert http.post("/v1/jobs", json=order, headers=mine).status_code == 402
    reads, writes = head(who, scopes=("read",)), head(who, scopes=("write",))
    assert http.get(PLACE, headers=writes).status_code == 403
    assert http.put(PLACE, json=body, headers=reads).status_code == 403
    assert http.delete(PLACE, params={"name": "customer", "value": "acme"}, headers=reads).status_code == 403
    assert http.put(PLACE, json=body | {"monthly_credits": 1}, headers=writes).json()["monthly_credits"] == 1


def test_labels_are_in_what_webhooks_and_listeners_are_told_of_jobs_and_holds(http: TestClient, who: UUID) -> None:
    mine, labels = head(who), {"customer": "acme", "team": "x"}
    with transaction() as conn:
        endpoints.create(conn, who, "https://example.com/hook", [])
    job = http.post("/v1/jobs", json={"model": "picture", "input": {}, "labels": labels}, headers=mine).json()
    http.post(f"/v1/jobs/{job['id']}/cancel", headers=mine)
    hold = http.post("/v1/holds", json={"amount": 4, "labels": labels}, headers=mine).json()
    http.post(f"/v1/holds/{hold['id']}/settle", json={"amount": 1}, headers=mine)
    http.post(f"/v1/holds/{hold['id']}/release", json={}, headers=mine)
    told = ["job.queued", "job.canceled", "hold.created", "hold.settled", "hold.released"]
    for table, kind in (("deliveries", "event_type"), ("events", "type")):
        said = dict(rows(f"select {kind}, data->'labels' from {table} where {kind} ~ '^(job|hold)'"))
        assert said == dict.fromkeys(told, labels), table
    events = http.get("/v1/events", headers=mine).json()["data"]
    assert [each["data"]["labels"] for each in events if each["type"] in told] == [labels] * len(told)
    for place in (f"/v1/jobs/{job['id']}", f"/v1/holds/{hold['id']}"):
        assert http.get(place, headers=mine).json()["labels"] == labels
    for place in ("/v1/jobs", "/v1/holds"):
        assert http.get(place, headers=mine).json()["data"][0]["labels"] == labels
