"""/v1/subscription: looked at, changed, canceled, resumed and tried, each once per key."""

from collections.abc import Iterator
from typing import Any
from uuid import UUID

import pytest
from starlette.testclient import TestClient

from api.main import make_app
from tests.models.accounts.test_paid_periods import paid
from tests.models.accounts.test_subscriptions import later
from tests.support import account, assert_books_are_clean, balance, key_of, one, rows


@pytest.fixture
def http(database: str) -> Iterator[TestClient]:
    with TestClient(make_app()) as client:
        yield client


class Customer:
    """An account and its key."""

    def __init__(self, http: TestClient) -> None:
        self.http, self.id = http, account()
        self.head = {"authorization": f"Bearer {key_of(self.id)}"}

    def sees(self) -> Any:
        return self.http.get("/v1/subscription", headers=self.head)

    def asks(self, what: str, body: dict[str, Any] | None = None, **headers: str) -> Any:
        return self.http.post(f"/v1/subscription/{what}", json=body, headers={**self.head, **headers})


def test_who_has_had_no_subscription_sees_none_and_can_change_none(http: TestClient) -> None:
    customer = Customer(http)
    answers = [
        customer.sees(),
        customer.asks("cancel"),
        customer.asks("resume"),
        customer.asks("change", {"plan": "creator"}),
    ]
    assert [(each.status_code, each.json()["code"]) for each in answers] == [(404, "not_found")] * 4


def test_a_subscription_is_canceled_and_resumed_and_shown_as_it_stands(http: TestClient) -> None:
    customer = Customer(http)
    paid(customer.id, "a")
    shown = customer.sees().json()
    assert (shown["plan"], shown["status"], shown["interval"], shown["renewer"]) == (
        "creator",
        "active",
        "monthly",
        "xendit",
    )
    assert shown["over_at"] > shown["ends_at"]
    canceled = customer.asks("cancel").json()
    assert (canceled["status"], canceled["over_at"]) == ("canceled", canceled["ends_at"])
    assert customer.asks("resume").json() == shown
    assert rows("select actor <> '' , action from acts where action in ('plan.canceled', 'plan.resumed') order by id") == [
        (True, "plan.canceled"), (True, "plan.resumed"),
    ]  # fmt: skip
    customer.asks("cancel")
    with later(32):
        from scheduler.duties import accounts

        accounts.expire_subscriptions(10)
    assert customer.sees().json()["status"] == "expired"


def test_what_costs_more_is_402_at_once_and_free_to_plan(http: TestClient) -> None:
    customer = Customer(http)
    paid(customer.id, "a")
    refused = customer.asks("change", {"plan": "studio"})
    assert (refused.status_code, refused.json()["code"]) == (402, "payment_required")
    planned = customer.asks("change", {"plan": "studio", "when": "period_end"}).json()
    assert (planned["plan"], planned["next_plan"], planned["changes_at"]) == ("creator", "studio", planned["ends_at"])
    lower = customer.asks("change", {"plan": "starter", "when": "now"}).json()
    assert (lower["plan"], lower["next_plan"]) == ("starter", None)
    assert [
        customer.asks("change", body).status_code
        for body in ({}, {"plan": "pro", "when": "soon"}, {"plan": "x", "y": 1})
    ] == [422] * 3
    assert_books_are_clean()


def test_what_a_company_runs_by_itself_is_not_canceled_behind_its_back(http: TestClient) -> None:
    customer = Customer(http)
    paid(customer.id, "in_1", renewer="stripe", company_id="sub_1")
    for what in ("cancel", "resume"):  # Stripe is told first, and is not set up here
        refused = customer.asks(what, None)
        assert (refused.status_code, refused.json()["code"]) == (404, "not_configured")
    refused = customer.asks("change", {"plan": "starter"})
    assert (refused.status_code, "Stripe" in refused.json()["detail"]) == (400, True)
    assert one("select cancel_at_end, next_plan_id from subscriptions") == (False, None)


def test_a_trial_is_begun_once_and_the_same_request_again_has_the_same_answer(http: TestClient) -> None:
    customer, key = Customer(http), {"idempotency-key": "mine"}
    first = customer.asks("trial", {"plan": "reimaji-pro"}, **key)
    again = customer.asks("trial", {"plan": "reimaji-pro"}, **key)
    assert (first.status_code, again.json(), again.headers["idempotent-replayed"]) == (200, first.json(), "true")
    assert (first.json()["status"], first.json()["trial_ends_at"]) == ("trial", first.json()["ends_at"])
    assert customer.asks("trial", {"plan": "reimaji-pro"}).status_code == 400
    assert balance(customer.id) == (500, 0)


def test_nobody_sees_or_changes_anothers(http: TestClient) -> None:
    mine, other = Customer(http), Customer(http)
    paid(mine.id, "a")
    assert other.sees().status_code == 404
    assert other.asks("cancel").status_code == 404
    assert mine.sees().json()["status"] == "active"
    who: UUID = one("select account_id from subscriptions")[0]
    assert who == mine.id
