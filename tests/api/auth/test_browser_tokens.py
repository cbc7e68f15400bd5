"""Every route of the OpenAPI document, by every kind of browser token: what is not on a short list is closed."""

import uuid
from collections.abc import Iterator
from dataclasses import replace
from typing import Any, NamedTuple

import pytest
from starlette.testclient import TestClient

from api.auth.reach import OPENED
from api.main import PUBLIC, make_app, needs_of
from cli.embedded.servers import Addresses
from common.redis_client import redis_client
from models.access import api_keys, browser_tokens
from models.access.browser_tokens import NewToken
from models.access.scopes import SCOPES, Right
from models.db import transaction
from models.identity import erasure
from models.jobs.cancel import cancel
from tests.api.auth.test_access import (
    assert_tells_nothing,
    call,
    everything_of,
    nothing_changed,
    one_of_everything,
    secret_of,
)
from tests.conftest import environment, fresh_database
from tests.models.hands import change
from tests.support import account, balance, caller, model, one, placed, rows

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")

NEEDS = needs_of(make_app())
# Pages ask for a session; to be signed in by a token is tried below.
CLOSED = sorted(
    {
        (path, method)
        for path, method, need in NEEDS
        if need != PUBLIC and not path.startswith(("/console", "/account")) and (method.upper(), path) not in OPENED
    }
)
KINDS = ("account", "model", "job")
RIGHTS: tuple[Right, ...] = ("read", "stream", "generate")


@pytest.fixture(scope="module")
def http(stack: Addresses) -> Iterator[TestClient]:
    with redis_client(stack.redis_url, timeout_seconds=15) as client:
        client.flushall()
    with fresh_database(stack), environment({"FAILED_AUTH_PER_MINUTE": "100000", "KEY_CACHE_SECONDS": "0"}):
        model("one")
        model("two")
        with TestClient(make_app(), raise_server_exceptions=False) as api:
            yield api


def head(secret: str) -> dict[str, str]:
    return {"authorization": f"Bearer {secret}"}


def boss_key(scopes: Any = SCOPES) -> tuple[uuid.UUID, str]:
    """An admin's account, and a key of it that may everything."""
    boss = account()
    change("update users set role = 'admin' where id = (select user_id from accounts where id = %s)", boss)
    return boss, secret_of(boss, scopes=scopes)


class Given(NamedTuple):
    """An account of an admin with one of everything, and a token of each kind, made by a key that may everything."""

    things: dict[str, Any]
    tokens: dict[str, str]


@pytest.fixture(scope="module")
def given(http: TestClient) -> Given:
    things = one_of_everything()
    owner = things["account"]
    change("update users set role = 'admin' where id = %s", things["user_id"])
    key = head(secret_of(owner, scopes=SCOPES))
    wishes: dict[str, dict[str, Any]] = {
        "account": {"may": RIGHTS, "credits": 5},
        "model": {"may": RIGHTS, "credits": 5, "model": "one"},
        "job": {"may": RIGHTS[:2], "job": str(things["job_id"])},
    }
    made = {kind: http.post("/v1/tokens", json=wish, headers=key) for kind, wish in wishes.items()}
    assert {each.status_code for each in made.values()} == {201}, [each.text for each in made.values()]
    change("update users set role = 'user' where id = %s", things["user_id"])
    return Given(things, {kind: each.json()["token"] for kind, each in made.items()})


def test_the_list_of_what_is_open_is_short_and_names_routes_that_exist() -> None:
    assert set(OPENED) <= {(method.upper(), path) for path, method, _ in NEEDS}
    assert {(method, path) for method, path in OPENED if method != "GET"} == {
        ("POST", "/v1/jobs"), ("POST", "/v1/jobs/{job_id}/cancel"), ("POST", "/v1/quotes"), ("POST", "/v1/files"),
    }  # fmt: skip


@pytest.mark.parametrize(("path", "method"), CLOSED)
def test_what_is_not_on_the_list_is_closed(http: TestClient, given: Given, path: str, method: str) -> None:
    for kind in KINDS:
        answer = call(http, path, method, given.tokens[kind], given.things)
        assert answer.status_code == 403, (kind, answer.text)
        assert "this token may" in answer.text
        if not path.startswith("/compat/"):
            assert answer.json()["may"] == sorted(RIGHTS[:2] if kind == "job" else RIGHTS)
        assert_tells_nothing(answer.text, given.things)
    assert nothing_changed(given.things)


@pytest.mark.parametrize(("kind", "method", "path", "status"), [
    ("account", "get", "/v1/jobs", 200), ("account", "get", "/v1/jobs/{job_id}", 200), ("account", "get", "/v1/credits", 200),
    ("account", "get", "/v1/events", 200), ("account", "post", "/v1/jobs", 422), ("account", "post", "/v1/quotes", 422),
    ("account", "post", "/v1/files", 422),
    ("model", "post", "/v1/jobs/{job_id}/cancel", 403), ("job", "post", "/v1/jobs/{job_id}/cancel", 403),
    ("model", "get", "/v1/jobs", 200), ("model", "get", "/v1/jobs/{job_id}", 403), ("model", "get", "/v1/credits", 403),
    ("model", "get", "/v1/events", 403), ("model", "get", "/v1/jobs/{job_id}/events", 403), ("model", "post", "/v1/quotes", 422),
    ("job", "get", "/v1/jobs", 403), ("job", "get", "/v1/jobs/{job_id}", 200), ("job", "get", "/v1/credits", 403),
    ("job", "get", "/v1/events", 403), ("job", "post", "/v1/jobs", 403), ("job", "post", "/v1/files", 403),
])  # fmt: skip
def test_what_is_on_the_list_is_open_within_the_tokens_reach(
    http: TestClient, given: Given, kind: str, method: str, path: str, status: int
) -> None:
    answer = call(http, path, method, given.tokens[kind], given.things)
    assert answer.status_code == status, answer.text
    if status == 403:
        assert "this token may" in answer.json()["detail"]


@pytest.mark.parametrize("right", RIGHTS)
def test_each_right_opens_its_own_routes_and_no_others(http: TestClient, given: Given, right: Right) -> None:
    things = one_of_everything()
    credits = 5 if right == "generate" else None
    with transaction() as conn:
        secret = browser_tokens.give_out(conn, caller_of(things["account"]), NewToken([right], credits=credits))[1]
    for (method, path), opened in OPENED.items():
        if path == "/v1/jobs/{job_id}/events" and right == "stream":
            continue  # it does not end
        answer = call(http, path, method.lower(), secret, things)
        assert (answer.status_code == 403) == (opened.right != right), (method, path, answer.text)


def test_a_job_within_its_reach_is_canceled_and_no_other(http: TestClient) -> None:
    who = account(amount=9)
    one_s, two_s = (placed(who, model(name)) for name in ("one", "two"))
    with transaction() as conn:
        secret = browser_tokens.give_out(conn, caller_of(who), NewToken(["generate"], model_id="one", credits=1))[1]
    refused = http.post(f"/v1/jobs/{two_s}/cancel", headers=head(secret))
    assert (refused.status_code, balance(who)) == (403, (7, 2))
    assert one("select ended from jobs where id = %s", two_s) == (None,)
    assert rows("select 1 from events where job_id = %s and type = 'job.canceled'", two_s) == []
    with transaction() as conn:
        cancel(conn, two_s)
    ended = http.post(f"/v1/jobs/{two_s}/cancel", headers=head(secret))
    assert ended.status_code == 403, "how another model's job ended is not its business"
    assert http.post(f"/v1/jobs/{one_s}/cancel", headers=head(secret)).json()["status"] == "canceled"
    assert balance(who) == (9, 0)


def caller_of(who: uuid.UUID) -> Any:
    """A person who has signed in."""
    return replace(caller(who), scopes=frozenset({"read", "write", "delete", "generate"}))


@pytest.mark.parametrize("kind", KINDS)
def test_another_tenants_token_finds_nothing(http: TestClient, given: Given, kind: str) -> None:
    stranger = one_of_everything()
    before = everything_of(stranger["account"])
    for (method, path), opened in OPENED.items():
        answer = call(http, path, method.lower(), given.tokens[kind], stranger)
        assert answer.status_code < 500
        if "{" in path:
            closed = kind == "job" and opened.right == "generate"
            assert answer.status_code == (403 if closed else 404), answer.text
        assert str(stranger["account"]) not in answer.text
        assert str(stranger["job_id"]) not in answer.text or "{" in path
    assert everything_of(stranger["account"]) == before


def test_a_token_acts_for_nobody_and_signs_nobody_in(http: TestClient, given: Given) -> None:
    other = account()
    for kind in KINDS:
        acting = http.get("/v1/jobs", headers={**head(given.tokens[kind]), "headrace-account": str(other)})
        assert (acting.status_code, acting.json()["needed"]) == (403, "act")
        for door in ("/console/sign-in", "/account/sign-in"):
            page = http.get(door)
            signed = http.post(door, data={"secret": given.tokens[kind]}, headers={"origin": "http://testserver"})
            assert (page.status_code, signed.status_code // 100) == (200, 4), signed.text
            assert not signed.headers.get("set-cookie", "").startswith("headrace")


# --- making them ---


@pytest.mark.parametrize(("wish", "param"), [
    ({"may": ["generate"]}, "credits"), ({"may": ["read"], "credits": 5}, "credits"), ({"may": []}, "may"),
    ({"may": ["write"]}, "may.0"), ({"may": ["generate"], "credits": 0}, "credits"), ({"may": ["read"], "seconds": 59}, "seconds"),
    ({"may": ["read"], "seconds": 3601}, "seconds"), ({"may": ["read"], "job": "{job}", "model": "one"}, "model"),
    ({"may": ["generate"], "credits": 1, "job": "{job}"}, "may"), ({"may": ["read"], "scopes": ["admin"]}, "scopes"),
])  # fmt: skip
def test_a_wish_that_makes_no_sense_is_refused_by_its_field(
    http: TestClient, given: Given, wish: dict[str, Any], param: str
) -> None:
    key = head(secret_of(given.things["account"]))
    asked = {name: str(given.things["job_id"]) if value == "{job}" else value for name, value in wish.items()}
    answer = http.post("/v1/tokens", json=asked, headers=key)
    assert (answer.status_code, answer.json()["param"]) == (422, param), answer.text


def test_a_token_is_at_most_its_maker(http: TestClient, given: Given) -> None:
    who = given.things["account"]
    foreign = placed(account(amount=5), model("one"))

    def wish(key: str, **body: Any) -> Any:
        return http.post("/v1/tokens", json=body, headers=head(key))

    little = secret_of(who, scopes=["write", "read"], models=["one"])
    assert wish(little, may=["generate"], credits=1).json()["needed"] == "generate"
    assert wish(little, may=["read"], model="two").json()["param"] == "model"
    assert wish(little, may=["read"], model="none").status_code == 404
    assert wish(little, may=["read"], job=str(foreign)).status_code == 404
    assert wish(secret_of(who, scopes=["read", "generate"]), may=["read"]).json()["needed"] == "write"


def test_a_token_is_shown_once_and_listed_without_its_secret(http: TestClient) -> None:
    who = account(amount=9)
    key = head(secret_of(who))
    made = http.post("/v1/tokens", json={"may": ["read"], "seconds": 60}, headers=key).json()
    assert set(made) >= {"id", "token", "account", "may", "job", "model", "credits", "expires_at", "created_at"}
    assert (made["account"], made["may"], made["token"][:4]) == (str(who), ["read"], "hrt_")
    assert one("select hash from browser_tokens where id = %s", made["id"]) == (api_keys.hash_of(made["token"]),)
    assert made["token"] not in str(rows("select * from browser_tokens")) + str(rows("select * from acts"))
    listed = http.get("/v1/tokens", headers=key)
    assert made["token"] not in listed.text
    assert [each["id"] for each in listed.json()["data"]] == [made["id"]]
    acts = [row[0] for row in rows("select action from acts where subject = %s order by id", made["id"])]
    assert acts == ["token.create"]


# --- their end ---


def opens(http: TestClient, secret: str) -> int:
    return int(http.get("/v1/jobs", headers=head(secret)).status_code)


def token_by(http: TestClient, key: str, **headers: str) -> dict[str, Any]:
    made = http.post("/v1/tokens", json={"may": ["read", "stream"]}, headers={**head(key), **headers})
    assert made.status_code == 201, made.text
    return dict(made.json())


ENDS = {
    "revoked": ("update browser_tokens set revoked_at = app_now() where account_id = %s", 401),
    "expired": ("update browser_tokens set expires_at = app_now() where account_id = %s", 401),
    "key revoked": ("update api_keys set revoked_at = app_now() where account_id = %s", 401),
    "key expired": ("update api_keys set expires_at = app_now() where account_id = %s", 401),
    "key lost read": ("update api_keys set scopes = '{write}' where account_id = %s", 403),
    "banned": ("update users set banned = true where id = (select user_id from accounts where id = %s)", 401),
    "deleted": ("update users set deleted_at = app_now() where id = (select user_id from accounts where id = %s)", 401),
    "suspended": (
        "update users set suspended_at = app_now() where id = (select user_id from accounts where id = %s)", 403,
    ),
}  # fmt: skip


@pytest.mark.parametrize("how", ENDS)
def test_a_token_ends_by_itself_and_with_its_maker(http: TestClient, how: str) -> None:
    who = account()
    secret = token_by(http, secret_of(who))["token"]
    assert opens(http, secret) == 200
    statement, status = ENDS[how]
    change(statement, who)
    assert opens(http, secret) == status


@pytest.mark.parametrize("how", ["key revoked", "no admin", "user suspended", "boss suspended"])
def test_a_token_that_a_server_made_for_its_user_ends_with_either(http: TestClient, how: str) -> None:
    (boss, key), user = boss_key(), account()
    made = token_by(http, key, **{"headrace-account": str(user)})
    assert (made["account"], opens(http, made["token"])) == (str(user), 200)
    assert http.get("/v1/credits", headers=head(made["token"])).status_code == 200
    statement = {
        "key revoked": "update api_keys set revoked_at = app_now() where account_id = %s",
        "no admin": "update users set role = 'user' where id = (select user_id from accounts where id = %s)",
        "user suspended": ENDS["suspended"][0],
        "boss suspended": ENDS["suspended"][0],
    }[how]
    change(statement, user if how == "user suspended" else boss)
    assert opens(http, made["token"]) in {401, 403}


def test_a_revoked_token_is_refused_and_revoking_is_written_down(http: TestClient) -> None:
    who, other = account(), account()
    key, made = secret_of(who), token_by(http, secret_of(who))
    assert http.delete(f"/v1/tokens/{made['id']}", headers=head(secret_of(other))).status_code == 404
    assert opens(http, made["token"]) == 200
    for _ in range(2):
        assert http.delete(f"/v1/tokens/{made['id']}", headers=head(key)).status_code == 204
    assert opens(http, made["token"]) == 401
    assert http.get("/v1/tokens", headers=head(key)).json()["data"][0]["revoked_at"] is not None


def test_a_deleted_user_leaves_no_token(http: TestClient) -> None:
    who = account()
    token_by(http, secret_of(who))
    with transaction() as conn:
        erasure.erase_account(conn, who)
    assert rows("select 1 from browser_tokens where account_id = %s", who) == []


# --- what they order ---


def test_a_token_orders_for_its_credits_and_no_more(http: TestClient) -> None:
    who = account(amount=50)
    key = secret_of(who, monthly_credits=20)
    made = http.post("/v1/tokens", json={"may": ["generate"], "credits": 3}, headers=head(key)).json()
    body = {"model": "one", "input": {}}
    answers = [http.post("/v1/jobs", json=body, headers=head(made["token"])) for _ in range(4)]
    assert [each.status_code for each in answers] == [201, 201, 201, 402]
    refused = answers[-1].json()
    assert (refused["code"], refused["needed"], refused["left"], refused["credits"]) == ("token_spent", 1, 0, 3)
    # It is its key's spending too: what a page orders counts for the budget of who has let it.
    assert rows("select credits from key_spending") == [(3,)]
    # A refund is the account's, and not the token's.
    job = answers[0].json()["id"]
    assert http.post(f"/v1/jobs/{job}/cancel", headers=head(key)).status_code == 200
    assert http.post("/v1/jobs", json=body, headers=head(made["token"])).status_code == 402
    assert one("select spent from browser_tokens where id = %s", made["id"]) == (3,)
    assert rows("select credits from key_spending") == [(2,)]


def test_a_repeated_order_is_paid_once(http: TestClient) -> None:
    who = account(amount=50)
    made = http.post("/v1/tokens", json={"may": ["generate"], "credits": 1}, headers=head(secret_of(who))).json()
    named = {**head(made["token"]), "idempotency-key": "again"}
    answers = [http.post("/v1/jobs", json={"model": "one", "input": {}}, headers=named) for _ in range(3)]
    assert {each.status_code for each in answers} == {201}
    assert len({each.json()["id"] for each in answers}) == 1


def test_a_token_for_a_model_orders_and_sees_that_model_alone(http: TestClient) -> None:
    who = account(amount=50)
    key = head(secret_of(who))
    wish = {"may": ["read", "generate"], "credits": 5, "model": "one"}
    narrow = head(http.post("/v1/tokens", json=wish, headers=key).json()["token"])
    jobs = {
        name: http.post("/v1/jobs", json={"model": name, "input": {}}, headers=key).json()["id"]
        for name in ("one", "two")
    }
    refused = http.post("/v1/jobs", json={"model": "two", "input": {}}, headers=narrow)
    assert (refused.status_code, refused.json()["param"]) == (403, "model")
    assert http.post("/v1/quotes", json={"model": "two", "input": {}}, headers=narrow).status_code == 403
    assert http.post("/v1/quotes", json={"model": "one", "input": {}}, headers=narrow).status_code == 200
    assert [each["id"] for each in http.get("/v1/jobs", headers=narrow).json()["data"]] == [jobs["one"]]
    assert http.get("/v1/jobs", params={"model": "two"}, headers=narrow).status_code == 403
    assert http.get(f"/v1/jobs/{jobs['one']}", headers=narrow).status_code == 200
    assert http.get(f"/v1/jobs/{jobs['two']}", headers=narrow).status_code == 403


def test_a_token_for_a_job_reads_that_job_alone(http: TestClient) -> None:
    who = account(amount=50)
    mine, other = (placed(who, model("one")) for _ in range(2))
    wish = {"may": ["read", "stream"], "job": str(mine)}
    narrow = head(http.post("/v1/tokens", json=wish, headers=head(secret_of(who))).json()["token"])
    assert http.get(f"/v1/jobs/{mine}", headers=narrow).status_code == 200
    for path in (f"/v1/jobs/{other}", f"/v1/jobs/{other}/events"):
        refused = http.get(path, headers=narrow)
        assert (refused.status_code, str(mine) in refused.json()["detail"]) == (403, True)


def test_an_order_of_a_token_brings_no_webhook(http: TestClient) -> None:
    who = account(amount=50)
    made = http.post("/v1/tokens", json={"may": ["generate"], "credits": 5}, headers=head(secret_of(who))).json()
    body = {"model": "one", "input": {}, "webhook": "https://example.com/hook"}
    refused = http.post("/v1/jobs", json=body, headers=head(made["token"]))
    assert (refused.status_code, refused.json()["param"]) == (403, "webhook")
    assert rows("select 1 from jobs where account_id = %s", who) == []
