"""Items, the feed and collections over HTTP: shapes, isolation, refusals that name the field."""

from collections.abc import Iterator
from datetime import datetime
from typing import Any
from uuid import UUID

import pytest
from starlette.testclient import TestClient
from uuid_utils.compat import uuid7

from api.main import make_app
from models.access import api_keys
from models.db import transaction
from tests.models.gallery.things import collection, indexed, publish, result, somebody
from tests.models.hands import change
from tests.support import account, key_of, one, rows

pytestmark = [pytest.mark.usefixtures("database"), pytest.mark.filterwarnings("ignore::DeprecationWarning")]


@pytest.fixture
def http() -> Iterator[TestClient]:
    with TestClient(make_app(), raise_server_exceptions=False) as client:
        yield client


def head(who: UUID) -> dict[str, str]:
    return {"authorization": f"Bearer {key_of(who)}"}


def test_an_item_says_what_its_job_and_its_output_say(http: TestClient) -> None:
    who = account(amount=9)
    item = result(who, "a harbour", seed=7)
    mine = head(who)
    (shown,) = http.get("/v1/images", headers=mine).json()["data"]
    job = http.get(f"/v1/jobs/{shown['job']}", headers=mine).json()
    output = job["outputs"][0]
    for name in ("id", "url", "thumbnail_url", "media_type", "size_bytes", "sha256", "width", "height"):
        assert shown[name] == output[name], name
    ends = {datetime.fromisoformat(each["expires_at"]) for each in (shown, output)}
    assert len(ends) == 1, "the same moment, with as many digits as it needs or with six"
    assert (shown["prompt"], shown["seed"], shown["model"], shown["kind"], shown["own"]) == (
        "a harbour", 7, job["model"], "image", True,
    )  # fmt: skip
    assert (shown["public"], shown["published_at"], shown["title"], shown["likes"], shown["liked"]) == (
        False, None, None, 0, False,
    )  # fmt: skip
    assert http.get(f"/v1/images/{item}", headers=mine).json() == shown
    assert http.get(f"/v1/videos/{item}", headers=mine).status_code == 404


def test_a_result_that_is_kept_has_no_end_and_one_that_is_deleted_no_place(http: TestClient) -> None:
    who = account(amount=9)
    kept, gone = result(who), result(who)
    mine = head(who)
    made = collection(who, kept, gone).id
    places = dict(rows("select id, '/v1/jobs/' || job_id || '/outputs/' || index from assets"))
    output = http.post(f"{places[kept]}/keep", headers=mine).json()
    shown = http.get(f"/v1/images/{kept}", headers=mine).json()
    assert (shown["expires_at"], output["expires_at"]) == (None, None)
    assert http.get(f"/v1/collections/{made}", headers=mine).json()["total"] == 2
    assert http.delete(places[gone], headers=mine).status_code == 204
    assert http.get(f"/v1/collections/{made}", headers=mine).json()["total"] == 1
    assert rows("select id from gallery_items") == [(kept,)]


def test_a_like_is_taken_back_also_of_what_is_private_by_now(http: TestClient) -> None:
    who, fan = account(amount=9), account()
    item = result(who)
    publish(who, item)
    theirs = head(fan)
    assert http.put(f"/v1/images/{item}/like", headers=theirs).json()["likes"] == 1
    publish(who, item, on=False)
    assert http.delete(f"/v1/images/{item}/like", headers=theirs).status_code == 404
    publish(who, item)
    assert http.get(f"/v1/images/{item}", headers=theirs).json()["likes"] == 0
    assert http.put(f"/v1/images/{item}/like", headers=theirs).json()["likes"] == 1
    assert http.delete(f"/v1/images/{item}/like", headers=theirs).json()["likes"] == 0


def test_another_tenant_sees_what_is_public_and_not_whose_job_it_was(http: TestClient) -> None:
    who, fan = account(amount=9), account()
    item = result(who, "a harbour")
    theirs = head(fan)
    for method, path, body in (
        ("get", f"/v1/images/{item}", None), ("patch", f"/v1/images/{item}", {"public": True}),
        ("put", f"/v1/images/{item}/like", None), ("delete", f"/v1/images/{item}/like", None),
    ):  # fmt: skip
        assert http.request(method, path, headers=theirs, json=body).status_code == 404
    made = http.patch(f"/v1/images/{item}", json={"public": True, "title": "Dawn"}, headers=head(who)).json()
    assert (made["public"], made["title"]) == (True, "Dawn")
    assert made["published_at"] is not None
    (seen,) = http.get("/v1/feed", headers=theirs).json()["data"]
    assert (seen["id"], seen["job"], seen["own"], seen["title"]) == (str(item), None, False, "Dawn")
    assert str(who) not in str(seen)
    liked = http.put(f"/v1/images/{item}/like", headers=theirs).json()
    assert (liked["likes"], liked["liked"]) == (1, True)
    assert http.get(f"/v1/images/{item}", headers=head(who)).json()["liked"] is False
    assert http.delete(f"/v1/images/{item}/like", headers=theirs).json()["likes"] == 0
    assert http.patch(f"/v1/images/{item}", json={"title": "mine"}, headers=theirs).status_code == 404


def test_lists_are_narrowed_by_what_is_asked_and_wrong_questions_are_named(http: TestClient) -> None:
    who = account(amount=9)
    old, new = result(who), result(who)
    change("update assets set created_at = created_at - interval '3 days' where id = %s", old)
    mine = head(who)

    def ids(**params: Any) -> list[str]:
        answer = http.get("/v1/images", params=params, headers=mine)
        assert answer.status_code == 200, answer.text
        return [each["id"] for each in answer.json()["data"]]

    day = str(one("select (app_now() at time zone 'UTC' - interval '1 day')::date")[0])
    assert (ids(**{"from": day}), ids(to=day)) == ([str(new)], [str(old)])
    assert ids(job=str(one("select job_id from assets where id = %s", new)[0])) == [str(new)]
    assert ids(model="none") == ids(public=True) == ids(job=str(uuid7())) == []
    for params, param in (
        ({"from": "x"}, "from"), ({"to": "2026-13-01"}, "to"), ({"job": "x"}, "job"), ({"public": "maybe"}, "public"),
        ({"from": "2026-01-02", "to": "2026-01-01"}, "from"), ({"model": "x" * 101}, "model"), ({"to": "9999-12-31", "from": "0001-01-01"}, None),
    ):  # fmt: skip
        answer = http.get("/v1/images", params=params, headers=mine)
        assert answer.json().get("param") == param, answer.text
        assert answer.status_code == (422 if param else 200)


def test_prompts_are_searched_own_and_public_apart(http: TestClient) -> None:
    who, other = account(amount=9), account(amount=9)
    mine, theirs = result(who, "a harbour at dawn"), result(other, "a harbour at dusk")
    indexed(mine, theirs)
    publish(other, theirs)

    def found(q: str, **params: Any) -> list[str]:
        return [
            each["id"]
            for each in http.get("/v1/search/images", params={"q": q, **params}, headers=head(who)).json()["data"]
        ]

    assert (found("harbour"), found("harbour", of="public"), found("dusk")) == ([str(mine)], [str(theirs)], [])
    for params, param in (
        ({}, "q"),
        ({"q": ""}, "q"),
        ({"q": "x" * 201}, "q"),
        ({"q": "-x"}, "q"),
        ({"q": "x", "of": "all"}, "of"),
    ):
        answer = http.get("/v1/search/images", params=params, headers=head(who))
        assert (answer.status_code, answer.json()["param"]) == (422, param)


def test_a_feeds_cursor_is_of_its_order(http: TestClient) -> None:
    who = account(amount=9)
    for _ in range(3):
        publish(who, result(who))
    first = http.get("/v1/feed", params={"order": "liked", "limit": 2}, headers=head(who)).json()
    rest = http.get("/v1/feed", params={"order": "liked", "cursor": first["next"]}, headers=head(who)).json()
    assert (len(first["data"]), len(rest["data"]), rest["next"]) == (2, 1, None)
    wrong = http.get("/v1/feed", params={"order": "newest", "cursor": first["next"]}, headers=head(who))
    assert (wrong.status_code, wrong.json()["param"]) == (422, "cursor")
    assert http.get("/v1/feed").status_code == 401, "what is public is for those who have a key"


def test_a_collection_from_its_making_to_its_end(http: TestClient) -> None:
    who = somebody("owner@example.com")
    first, second = result(who), result(who)
    mine = head(who)
    made = http.post("/v1/collections", json={"name": " Dawns "}, headers=mine)
    assert (made.status_code, made.json()["name"], made.json()["standing"]) == (201, "Dawns", "owner")
    path = made.headers["location"]
    assert http.post(f"{path}/items", json={"items": [str(first), str(second)]}, headers=mine).json() == {
        "changed": 2,
        "total": 2,
    }
    assert http.post(f"{path}/items/order", json={"items": [str(second)]}, headers=mine).status_code == 200
    shown = http.get(f"{path}/items", headers=mine).json()["data"]
    assert [each["id"] for each in shown] == [str(second), str(first)]
    change_ = http.patch(path, json={"cover": str(first), "public": True, "description": "a\nb"}, headers=mine).json()
    assert (change_["cover"], change_["public"], change_["description"], change_["total"]) == (
        str(first),
        True,
        "a\nb",
        2,
    )
    assert change_["cover_url"].endswith("?thumbnail=1")
    assert http.post(f"{path}/items/remove", json={"items": [str(first)]}, headers=mine).json() == {
        "changed": 1,
        "total": 1,
    }
    link = http.post(f"{path}/links", json={"expires_at": "2099-01-01T00:00:00Z"}, headers=mine).json()
    assert "/shared/" in link["url"]
    assert "url" not in http.get(f"{path}/links", headers=mine).json()["data"][0]
    past = http.post(f"{path}/links", json={"expires_at": "2020-01-01T00:00:00Z"}, headers=mine)
    assert (past.status_code, past.json()["param"]) == (422, "expires_at")
    for body, param in (
        ({"items": []}, "items"),
        ({"items": [str(uuid7())] * 501}, "items"),
        ({"items": ["x"]}, "items.0"),
        ({}, "items"),
    ):
        refused = http.post(f"{path}/items", json=body, headers=mine)
        assert (refused.status_code, refused.json()["param"]) == (422, param), refused.text
    assert http.delete(path, headers=mine).status_code == 204
    assert http.get(path, headers=mine).status_code == 404


def test_a_collaborator_is_invited_comes_and_is_let_go(http: TestClient) -> None:
    who, guest = somebody("owner@example.com"), somebody("guest@example.com", plan="free")
    path = f"/v1/collections/{collection(who, result(who)).id}"
    mine, theirs = head(who), head(guest)
    member = http.post(f"{path}/members", json={"email": "Guest@Example.com", "role": "editor"}, headers=mine).json()
    assert (member["email"], member["accepted_at"]) == ("guest@example.com", None)
    assert http.get(path, headers=theirs).status_code == 404
    (invitation,) = http.get("/v1/invitations", headers=theirs).json()["data"]
    assert (invitation["role"], invitation["name"]) == ("editor", "A collection")
    accepted = http.post(f"/v1/invitations/{invitation['id']}/accept", headers=theirs)
    assert (accepted.status_code, accepted.json()["standing"]) == (200, "editor")
    assert http.patch(path, json={"name": "Ours"}, headers=theirs).json()["name"] == "Ours"
    refused = http.patch(path, json={"public": True}, headers=theirs)
    assert (refused.status_code, refused.json()["standing"]) == (403, "editor")
    assert http.get(f"{path}/members", headers=theirs).status_code == 403
    assert (
        http.patch(f"{path}/members/{member['id']}", json={"role": "viewer"}, headers=mine).json()["role"] == "viewer"
    )
    assert http.patch(path, json={"name": "Mine"}, headers=theirs).status_code == 403
    assert [
        each["id"] for each in http.get("/v1/collections", params={"of": "shared"}, headers=theirs).json()["data"]
    ] == [path[-36:]]
    assert http.delete(f"{path}/members/{member['id']}", headers=mine).status_code == 204
    assert http.get(path, headers=theirs).status_code == 404


@pytest.mark.parametrize("scope", ["read", "write", "delete"])
def test_each_route_wants_its_scope(http: TestClient, scope: str) -> None:
    who = somebody("owner@example.com")
    item = result(who)
    made = collection(who, item).id
    with transaction() as conn:
        secret = api_keys.create(conn, who, api_keys.NewKey("x", scopes=[scope]))[1]  # type: ignore[list-item]  # a scope, as the table says
    only = {"authorization": f"Bearer {secret}"}
    for method, path, needed in (
        ("get", "/v1/images", "read"), ("get", "/v1/feed", "read"), ("patch", f"/v1/images/{item}", "write"),
        ("put", f"/v1/images/{item}/like", "write"), ("get", f"/v1/collections/{made}", "read"), ("delete", f"/v1/collections/{made}", "delete"),
    ):  # fmt: skip
        answer = http.request(method, path, headers=only, json={} if method == "patch" else None)
        assert (answer.status_code == 403) is (needed != scope), (path, answer.status_code)
