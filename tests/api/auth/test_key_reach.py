"""What a key may do and hand out, and what an admin does and is written down."""

import uuid
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from starlette.testclient import TestClient

from api.main import make_app
from models.access import api_keys
from models.access.scopes import SCOPES
from models.db import transaction
from models.events import announcements
from tests.api.auth.test_access import one_of_everything, secret_of
from tests.models.access.test_minting import plant_revoked
from tests.support import account, key_of, model, one, rows

pytestmark = [
    pytest.mark.usefixtures("database"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
]


@pytest.fixture
def http(database: str) -> Iterator[TestClient]:
    model("one")
    model("two")
    with TestClient(make_app(), raise_server_exceptions=False) as client:
        yield client


@pytest.fixture
def theirs() -> dict[str, Any]:
    return one_of_everything()


def test_an_admin_changes_a_role_and_it_is_written_down(http: TestClient, theirs: dict[str, Any]) -> None:
    boss = account()
    with transaction() as conn:
        conn.execute("update users set role = 'admin' where id = (select user_id from accounts where id = %s)", [boss])
    key = {"authorization": f"Bearer {secret_of(boss, scopes=SCOPES)}"}
    user = str(theirs["user_id"])
    found = http.get("/v1/admin/users", headers=key).json()["data"]
    assert user in {each["id"] for each in found}
    changed = http.patch(f"/v1/admin/users/{user}", json={"role": "pro"}, headers=key)
    assert (changed.status_code, changed.json()["role"]) == (200, "pro")
    assert http.patch(f"/v1/admin/users/{user}", json={"role": "king"}, headers=key).status_code == 422
    assert http.patch(f"/v1/admin/users/{uuid.uuid4()}", json={"role": "pro"}, headers=key).status_code == 404
    act = http.get("/v1/admin/acts", headers=key, params={"subject": user}).json()["data"]
    assert [(each["action"], each["details"]) for each in act] == [("user.role", {"before": "user", "after": "pro"})]
    assert act[0]["actor"] == str(one("select user_id from accounts where id = %s", boss)[0])
    assert act[0]["address"] == "testclient"
    with pytest.raises(Exception, match="written down"), transaction() as conn:
        conn.execute("update acts set actor = 'nobody'")


def test_an_admin_announces_and_sees_how_far_it_has_come(http: TestClient, theirs: dict[str, Any]) -> None:
    boss = account()
    with transaction() as conn:
        conn.execute("update users set role = 'admin' where id = (select user_id from accounts where id = %s)", [boss])
    key = {"authorization": f"Bearer {secret_of(boss, scopes=SCOPES)}"}
    made = [
        http.post("/v1/admin/announcements", json={"title": f"News {n}", "body": "More."}, headers=key)
        for n in range(3)
    ]
    assert [each.status_code for each in made] == [202] * 3
    with transaction() as conn:
        assert announcements.notify(conn, 100) == (3, False)  # one of them has invited the other
    first = http.get("/v1/admin/announcements", params={"limit": 2}, headers=key).json()
    rest = http.get("/v1/admin/announcements", params={"limit": 2, "cursor": first["next"]}, headers=key).json()
    assert [each["title"] for each in first["data"] + rest["data"]] == ["News 2", "News 1", "News 0"]
    assert (rest["data"][0]["notified"], rest["next"]) == (3, None)
    notes = http.get("/v1/notifications", headers=key).json()
    assert [each["title"] for each in notes["data"]] == ["News 0"]
    acts = http.get("/v1/admin/acts", params={"subject": made[0].json()["id"]}, headers=key).json()["data"]
    assert [each["action"] for each in acts] == ["announcement.create"]
    wrong = http.post("/v1/admin/announcements", json={"title": "x", "body": "y", "plan": "none"}, headers=key)
    assert (wrong.status_code, wrong.json()["param"]) == (422, "plan")


def test_a_key_hands_out_no_more_than_it_has(http: TestClient) -> None:
    who = account()
    little = {"authorization": f"Bearer {secret_of(who, scopes=['write', 'read'], models=['one'])}"}
    refused = http.post("/v1/keys", json={"name": "more", "scopes": ["generate"]}, headers=little)
    assert (refused.status_code, refused.json()["param"]) == (403, "scopes")
    assert (
        http.post("/v1/keys", json={"name": "x", "scopes": ["read"], "models": ["two"]}, headers=little).status_code
        == 403
    )
    made = http.post("/v1/keys", json={"name": "same", "scopes": ["read"]}, headers=little)
    assert made.status_code == 201
    shown = http.get("/v1/keys", headers=little).json()["data"][0]
    assert (shown["scopes"], shown["models"]) == (["read"], ["one"])  # the allow-list is handed on
    assert made.json()["secret"] not in http.get("/v1/keys", headers=little).text
    assert api_keys.looks_like_a_key(made.json()["secret"])


def escalations(http: TestClient, who: Any, better: Any) -> dict[str, int]:
    """What a key that may only read and write tries on a better one, by id."""
    little = {"authorization": f"Bearer {secret_of(who, scopes=['write', 'read'])}"}
    return {
        "rotate": http.post(f"/v1/keys/{better}/rotate", json={}, headers=little).status_code,
        "mint": http.post("/v1/keys", json={"name": "x", "scopes": ["admin"]}, headers=little).status_code,
        "revoke": http.delete(f"/v1/keys/{better}", headers=little).status_code,
    }


@pytest.mark.parametrize("newer", [0, 1001])
def test_a_better_key_is_out_of_reach_however_many_newer_ones_there_are(http: TestClient, newer: int) -> None:
    who = account()
    with transaction() as conn:
        conn.execute("update users set role = 'admin'")
        better = api_keys.create(conn, who, api_keys.NewKey("boss", scopes=SCOPES))[0]
    plant_revoked(who, newer)
    assert escalations(http, who, better) == {"rotate": 403, "mint": 403, "revoke": 403}
    assert rows("select 1 from api_keys where name not in ('planted', 'test', 'boss')") == []
    assert one("select count(*) from api_keys where name = 'boss'") == (1,)
    assert one("select retires_at, revoked_at from api_keys where id = %s", better) == (None, None)


def test_the_answer_that_holds_a_secret_is_repeated_to_who_asked_for_it_alone(http: TestClient) -> None:
    who = account()
    body, named = {"name": "deploy", "scopes": ["generate", "read"]}, {"idempotency-key": "deploy-1"}
    owner = {"authorization": f"Bearer {key_of(who)}", **named}
    little = {
        "authorization": f"Bearer {secret_of(who, scopes=['write', 'generate', 'read'], monthly_credits=1)}",
        **named,
    }
    first = http.post("/v1/keys", json=body, headers=owner)
    again = http.post("/v1/keys", json=body, headers=owner)
    assert (first.status_code, again.json()) == (201, first.json())
    other = http.post("/v1/keys", json=body, headers=little)
    assert (other.status_code, other.json()["code"]) == (422, "idempotency_mismatch")
    assert first.json()["secret"] not in other.text


def test_a_child_shows_its_maker_and_ends_with_it(http: TestClient) -> None:
    who = account()
    parent = http.post("/v1/keys", json={"name": "parent"}, headers={"authorization": f"Bearer {key_of(who)}"}).json()
    head = {"authorization": f"Bearer {parent['secret']}"}
    child = http.post("/v1/keys", json={"name": "child", "monthly_credits": 5}, headers=head).json()
    turned = http.post(f"/v1/keys/{child['id']}/rotate", json={}, headers=head).json()
    shown = {each["id"]: each for each in http.get("/v1/keys", headers=head).json()["data"]}
    assert (shown[child["id"]]["made_by"], shown[child["id"]]["root_id"]) == (parent["id"], child["id"])
    assert (shown[turned["id"]]["made_by"], shown[turned["id"]]["root_id"]) == (parent["id"], child["id"])
    assert shown[turned["id"]]["monthly_credits"] == 5
    assert http.delete(f"/v1/keys/{parent['id']}", headers=head).status_code == 204
    assert one("select count(*) from api_keys where revoked_at is not null") == (3,)


def test_a_key_is_for_its_models_alone(http: TestClient) -> None:
    who = account(amount=9)
    key = {"authorization": f"Bearer {secret_of(who, models=['one'])}"}
    assert http.post("/v1/jobs", json={"model": "one", "input": {}}, headers=key).status_code == 201
    refused = http.post("/v1/jobs", json={"model": "two", "input": {}}, headers=key)
    assert (refused.status_code, refused.json()["param"]) == (403, "model")


def test_rotation_keeps_the_old_key_for_the_overlap(http: TestClient) -> None:
    who = account()
    head = {"authorization": f"Bearer {key_of(who)}"}
    old = http.post("/v1/keys", json={"name": "old", "per_minute": 50, "scopes": ["read"]}, headers=head).json()
    new = http.post(f"/v1/keys/{old['id']}/rotate", json={"overlap_hours": 1}, headers=head).json()
    for secret in (old["secret"], new["secret"]):
        assert http.get("/v1/credits", headers={"authorization": f"Bearer {secret}"}).status_code == 200
    shown = {each["id"]: each for each in http.get("/v1/keys", headers=head).json()["data"]}
    assert (shown[new["id"]]["per_minute"], shown[new["id"]]["scopes"]) == (50, ["read"])
    ends = datetime.fromisoformat(shown[old["id"]]["expires_at"])
    assert timedelta(minutes=59) < ends - datetime.now(UTC) < timedelta(minutes=61)
    assert http.delete(f"/v1/keys/{new['id']}", headers=head).status_code == 204
    assert http.post(f"/v1/keys/{new['id']}/rotate", json={}, headers=head).status_code == 404
    assert [row[0] for row in rows("select action from acts order by id")] == ["key.create", "key.rotate", "key.revoke"]
