"""Every route of the OpenAPI document, as everybody who may not call it."""

import re
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from starlette.testclient import TestClient

from api.main import OPEN_ROUTES, PUBLIC, make_app, needs_of
from common.settings import settings
from models.access import api_keys
from models.access.scopes import NEEDED_ROLE, SCOPES
from models.credits import holds, label_limits
from models.credits.hold_rows import NewHold
from models.db import transaction
from models.events import announcements, deliveries, endpoints
from models.files.uploads import id_text
from models.gallery import links, members
from models.playground import sessions
from models.playground.sessions import NewSession
from models.schema.tables import metadata
from tests.models.access.test_minting import plant_revoked
from tests.models.gallery.things import collection, result, somebody
from tests.models.payments.shop import ordered, pack
from tests.support import account, caller, key_of, model, one, placed, rows

pytestmark = [
    pytest.mark.usefixtures("database"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
]

NEEDS = [(path, method, need) for path, method, need in needs_of(make_app())]
GUARDED = [each for each in NEEDS if each[2] != PUBLIC]
# What tells a stranger that somebody else's thing is there: any of these words in an answer would.
SECRET_PROMPT = "a secret picture of a lighthouse"


@pytest.fixture
def http(database: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[TestClient]:
    monkeypatch.setenv("FAILED_AUTH_PER_MINUTE", "100000")
    settings.cache_clear()
    model("one")
    model("two")
    with TestClient(make_app(), raise_server_exceptions=False) as client:
        yield client


def secret_of(who: Any, **fields: Any) -> str:
    with transaction() as conn:
        return api_keys.create(conn, who, api_keys.NewKey("test", **fields))[1]


def filled(path: str, things: dict[str, Any]) -> str:
    return re.sub(
        r"\{(\w+)(:path)?\}", lambda found: str(things.get(found[1], 0 if found[1] == "index" else uuid.uuid4())), path
    )


def call(http: TestClient, path: str, method: str, key: str | None, things: dict[str, Any]) -> Any:
    head = {"authorization": f"Bearer {key}"} if key else {}
    body = {"post": {}, "put": {}, "patch": {}}.get(method)
    return http.request(method, filled(path, things), headers=head, **({"json": body} if body is not None else {}))


@pytest.fixture
def theirs() -> dict[str, Any]:
    """An account with one of everything, and the ids of its things."""
    who = account(amount=9)
    job = placed(who, model())
    with transaction() as conn:
        conn.execute(
            "update jobs set input = jsonb_build_object('prompt', %s::text) where id = %s", [SECRET_PROMPT, job]
        )
        key_id, _ = api_keys.create(conn, who, api_keys.NewKey("the owner's own key"))
        user = conn.execute("select user_id from accounts where id = %s", [who]).fetchone()
        hook = endpoints.create(conn, who, "https://owner.example/hook", [])[0].id
        delivery = deliveries.send(conn, who, hook, "test", {}, endpoint_id=hook)
        hold = holds.create(conn, caller(who), NewHold(2, 3600)).id
        label_limits.set_limit(conn, who, "customer", SECRET_PROMPT, 5)
        session, _ = sessions.create(conn, who, job, SECRET_PROMPT, NewSession())
        note, file = uuid.uuid4(), uuid.uuid4()
        conn.execute(
            """insert into notifications (id, account_id, event_number, kind, title, body, data)
               values (%s, %s, 999, 'announcement', %s, '', '{}')""",
            [note, who, SECRET_PROMPT],
        )
        conn.execute(
            """insert into uploads (id, account_id, key, media_type, size_bytes, sha256, expires_at)
               values (%s, %s, %s, 'image/png', 5, %s, app_now() + interval '1 day')""",
            [file, who, f"uploads/{file}", b"x" * 32],
        )
    assert user is not None
    return {
        "account": who, "account_id": who, "job_id": job, "key_id": key_id, "user_id": user[0], "provider": "router",
        "webhook_id": hook, "delivery_id": delivery, "notification_id": note, "file_id": id_text(file),
        "payment_id": ordered(who, pack()), "hold_id": hold, "session_id": session, **gallery_of(who),
    }  # fmt: skip


def gallery_of(who: uuid.UUID) -> dict[str, Any]:
    """A private collection of an account, with an item, a link and a collaborator."""
    item, email = result(who, SECRET_PROMPT), "friend@example.com"
    with transaction() as conn:
        conn.execute("update accounts set plan_id = 'enterprise' where id = %s", [who])
        conn.execute(
            "update users set email = %s where id = (select user_id from accounts where id = %s)",
            ["me@example.com", who],
        )
    made = collection(who, item, name=SECRET_PROMPT)
    theirs = collection(somebody("host@example.com"), name=SECRET_PROMPT)
    with transaction() as conn:
        link = links.create(conn, who, made.id)[0].id
        member = members.invite(conn, who, made.id, email, "viewer").id
        invitation = members.invite(conn, theirs.account_id, theirs.id, "me@example.com", "editor").id
    return {
        "item_id": item, "collection_id": made.id, "link_id": link, "member_id": member, "invitation_id": invitation,
    }  # fmt: skip


def everything_of(who: uuid.UUID) -> dict[str, list[Any]]:
    """All rows that are this account's, in every table that has accounts."""
    tables = {name: "account_id" for name, table in metadata.tables.items() if "account_id" in table.columns}
    return {
        name: sorted(rows(f"select to_jsonb(t)::text from {name} t where {column} = %s", who))
        for name, column in (tables | {"accounts": "id"}).items()
    }


def test_every_route_says_what_it_needs_and_the_open_ones_are_known() -> None:
    assert {path for path, _, need in NEEDS if need == PUBLIC} == set(OPEN_ROUTES)
    assert {need for _, _, need in GUARDED} <= set(SCOPES)


@pytest.mark.parametrize(("path", "method", "need"), GUARDED)
def test_nobody_gets_in_and_learns_nothing(
    http: TestClient, theirs: dict[str, Any], path: str, method: str, need: str
) -> None:
    owner = theirs["account"]
    revoked, expired = secret_of(owner), secret_of(owner, expires_at=datetime.now(UTC) - timedelta(seconds=1))
    with transaction() as conn:
        conn.execute("update api_keys set revoked_at = app_now() where hash = %s", [api_keys.hash_of(revoked)])
    wrong = api_keys.make_secret()
    for key in (None, revoked, expired, wrong, "nonsense", "eyJhbGciOiJub25lIn0.eyJzdWIiOiIxIn0."):
        answer = call(http, path, method, key, theirs)
        assert answer.status_code == 401, (key, answer.text)
        assert answer.headers["www-authenticate"] == "Bearer"
        assert_tells_nothing(answer.text, theirs)
    for missing in [set(SCOPES) - {need}, {next(scope for scope in SCOPES if scope != need)}]:
        answer = call(http, path, method, secret_of(owner, scopes=missing), theirs)
        assert answer.status_code == 403, answer.text
        assert answer.json()["needed"] == need
    assert nothing_changed(theirs)


# What a route wants of a body before it looks for what its path names.
BODIES: dict[str, dict[str, Any]] = {
    "post /v1/webhooks/{webhook_id}/redeliver": {"since": "2026-01-01T00:00:00Z"},
    "post /v1/holds/{hold_id}/settle": {"amount": 1}, "post /v1/holds/{hold_id}/extend": {"seconds": 60},
    "post /v1/lessons/{lesson_id}/attempts": {"answers": {}},
    **{f"post /v1/collections/{{collection_id}}/items{act}": {"items": [str(uuid.uuid4())]} for act in ("", "/remove", "/order")},
    "post /v1/collections/{collection_id}/members": {"email": "a@example.com"},
    "patch /v1/collections/{collection_id}/members/{member_id}": {"role": "editor"},
}  # fmt: skip


def as_stranger(how: str) -> dict[str, str]:
    """Headers of another tenant: by a key of its own, or by a server that acts for it."""
    stranger = account(amount=9)
    if how == "own key":
        return {"authorization": f"Bearer {secret_of(stranger, scopes=SCOPES)}"}
    boss = account()
    with transaction() as conn:
        conn.execute("update users set role = 'admin' where id = (select user_id from accounts where id = %s)", [boss])
    return {"authorization": f"Bearer {secret_of(boss, scopes=SCOPES)}", "headrace-account": str(stranger)}


@pytest.mark.parametrize("how", ["own key", "acted for"])
@pytest.mark.parametrize(("path", "method", "need"), GUARDED)
def test_another_tenant_finds_nothing_of_it(
    http: TestClient, theirs: dict[str, Any], path: str, method: str, need: str, how: str
) -> None:
    head, before = as_stranger(how), everything_of(theirs["account"])

    def ask(things: dict[str, Any]) -> Any:
        body = BODIES.get(f"{method} {path}", {}) if method in {"post", "put", "patch"} else None
        return http.request(method, filled(path, things), headers=head, json=body)

    answer = ask(theirs)
    if need in NEEDED_ROLE:
        assert answer.status_code == 403  # the scope alone makes no admin and no editor, and nobody acts as one
    elif how == "acted for" and path.startswith("/v1/keys/") and method == "post":
        assert answer.status_code == 403  # it makes no keys for anybody
    elif path.startswith("/v1/summaries"):
        assert answer.status_code == 403  # for those who edit, whose they all are
    elif "{" in path:
        assert answer.status_code == 404 or "{provider}" in path, answer.text
        assert answer.status_code == ask({"provider": theirs["provider"]}).status_code
    else:
        assert answer.status_code < 500
    assert_tells_nothing(answer.text, theirs)
    assert everything_of(theirs["account"]) == before


def assert_tells_nothing(text: str, theirs: dict[str, Any]) -> None:
    assert SECRET_PROMPT not in text
    assert "the owner's own key" not in text
    assert str(theirs["account"]) not in text


def nothing_changed(theirs: dict[str, Any]) -> bool:
    return (
        one("select ended, live_id is not null from jobs where id = %s", theirs["job_id"]) == (None, True)
        and rows("select 1 from job_runs where cancel_requested_at is not null") == []
        and one("select revoked_at, expires_at from api_keys where id = %s", theirs["key_id"]) == (None, None)
        and one("select role from users where id = %s", theirs["user_id"]) == ("user",)
        and rows("select 1 from acts where subject = %s", str(theirs["key_id"])) == []
    )


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
        assert announcements.notify(conn, 100) == (2, False)
    first = http.get("/v1/admin/announcements", params={"limit": 2}, headers=key).json()
    rest = http.get("/v1/admin/announcements", params={"limit": 2, "cursor": first["next"]}, headers=key).json()
    assert [each["title"] for each in first["data"] + rest["data"]] == ["News 2", "News 1", "News 0"]
    assert (rest["data"][0]["notified"], rest["next"]) == (2, None)
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
