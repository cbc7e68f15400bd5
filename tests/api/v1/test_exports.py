"""Exports and erasure over HTTP: one's own, anybody's for an operator, and whole."""

import json
from collections.abc import Iterator
from typing import Any
from uuid import UUID, uuid4

import pytest
from fastapi.testclient import TestClient

from api.main import make_app
from models.access import api_keys
from models.db import transaction
from models.operations import exporting
from tests.models.hands import change
from tests.support import account, key_of, model, one, placed, rows

pytestmark = pytest.mark.usefixtures("database")


@pytest.fixture
def http() -> Iterator[TestClient]:
    with TestClient(make_app()) as client:
        yield client


@pytest.fixture
def admin() -> dict[str, str]:
    who = account()
    change("update users set role = 'admin' where id = (select user_id from accounts where id = %s)", who)
    with transaction() as conn:
        return {"authorization": f"Bearer {api_keys.create(conn, who, api_keys.NewKey('ops', scopes=('admin',)))[1]}"}


def lines(text: str) -> list[dict[str, Any]]:
    found = [json.loads(each) for each in text.splitlines()]
    assert found[-1] == {"kind": "end", "data": {"lines": len(found) - 1}}
    return found[:-1]


def ordered(who: UUID, *prompts: str) -> None:
    offer = model()
    for each in prompts:
        placed(who, offer, {"prompt": each})


def test_everybody_exports_their_own_and_all_of_it(http: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exporting, "MAX_ROWS", 2)
    who, other = account(amount=9), account(amount=9)
    ordered(who, "one", "two", "three", "four", "five")
    ordered(other, "theirs")
    answer = http.get("/v1/me/export", headers={"authorization": f"Bearer {key_of(who)}"})
    assert (answer.status_code, answer.headers["content-type"], answer.headers["cache-control"]) == (
        200,
        "application/x-ndjson",
        "no-store",
    )
    found = lines(answer.text)
    assert [each["data"]["input"]["prompt"] for each in found if each["kind"] == "jobs"] == [
        "one",
        "two",
        "three",
        "four",
        "five",
    ]
    assert "theirs" not in answer.text
    assert str(other) not in answer.text


def test_who_is_nobody_or_may_not_read_exports_nothing(http: TestClient) -> None:
    who = account()
    with transaction() as conn:
        key = api_keys.create(conn, who, api_keys.NewKey("orders", scopes=("generate",)))[1]
    assert http.get("/v1/me/export").status_code == 401
    assert http.get("/v1/me/export", headers={"authorization": f"Bearer {key}"}).status_code == 403
    mine = {"authorization": f"Bearer {key_of(who)}"}
    assert http.get(f"/v1/admin/accounts/{who}/export", headers=mine).status_code == 403
    assert http.post(f"/v1/admin/accounts/{who}/erase", json={"reason": "x"}, headers=mine).status_code == 403
    assert rows("select 1 from erasures") == []


def test_an_operator_exports_anybody_and_that_is_in_the_audit_log(http: TestClient, admin: dict[str, str]) -> None:
    who = account(amount=9)
    ordered(who, "one")
    found = lines(http.get(f"/v1/admin/accounts/{who}/export", headers=admin).text)
    assert [each["data"]["id"] for each in found if each["kind"] == "account"] == [str(who)]
    assert one("select action, subject from acts") == ("account.export", str(who))
    for nobody in (uuid4(), "x"):
        refused = http.get(f"/v1/admin/accounts/{nobody}/export", headers=admin)
        assert (refused.status_code, refused.json()["code"]) == (404, "not_found")


def test_an_operator_erases_after_a_look_and_the_person_is_shut_out(http: TestClient, admin: dict[str, str]) -> None:
    who = account(amount=9)
    ordered(who, "one")
    place = f"/v1/admin/accounts/{who}/erase"
    looked = http.post(place, json={"reason": "asked", "dry_run": True}, headers=admin).json()
    assert (looked["goes"]["prompts"], looked["begun_at"], looked["available_credits"]) == (1, None, 8)
    assert rows("select 1 from erasures") == []
    begun = http.post(place, json={"reason": "asked"}, headers=admin).json()
    assert begun["begun_at"] is not None
    assert begun["goes"]["living_jobs"] == 0
    assert one("select details->>'reason' from acts where action = 'account.erase'") == ("asked",)
    assert one("select count(*) from users where deleted_at is not null") == (1,)


@pytest.mark.parametrize(("body", "param"), [
    ({}, "reason"), ({"reason": ""}, "reason"), ({"reason": "x" * 501}, "reason"), ({"reason": "x", "dry_run": "no"}, "dry_run"),
    ({"reason": "x", "dry_run": 1}, "dry_run"), ({"reason": "x", "more": 1}, "more"),
])  # fmt: skip
def test_what_is_no_erasure_is_refused_by_its_field(
    http: TestClient, admin: dict[str, str], body: dict[str, Any], param: str
) -> None:
    refused = http.post(f"/v1/admin/accounts/{account()}/erase", json=body, headers=admin)
    assert (refused.status_code, refused.json()["param"]) == (422, param)
    assert http.post(f"/v1/admin/accounts/{uuid4()}/erase", json={"reason": "x"}, headers=admin).status_code == 404
    assert rows("select 1 from erasures") == []
