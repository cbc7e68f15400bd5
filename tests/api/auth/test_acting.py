"""A product's server acts for its users: for whom it names, with no more than its key, and all of it is written down."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from uuid import UUID

import pytest
from fastapi.testclient import TestClient

from api.main import make_app
from api.v1.events import read_token
from models.access import api_keys
from models.access.scopes import SCOPES
from models.db import transaction
from models.identity import people
from tests.conftest import environment
from tests.support import account, assert_books_are_clean, balance, key_of, model, one, rows

pytestmark = pytest.mark.usefixtures("database")

CLERK = "https://clerk.example"


@pytest.fixture
def http() -> Iterator[TestClient]:
    with environment({"OIDC_ISSUERS": CLERK, "KEY_CACHE_SECONDS": "0"}), TestClient(make_app()) as client:
        yield client


def server(*scopes: str, role: str = "admin") -> dict[str, str]:
    who = account()
    with transaction() as conn:
        conn.execute("update users set role = %s where id = (select user_id from accounts where id = %s)", [role, who])
        key = api_keys.NewKey("server", scopes=scopes or ("generate", "read", "write", "act"))
        secret = api_keys.create(conn, who, key)[1]
    return {"authorization": f"Bearer {secret}"}


def as_of(key: dict[str, str], name: object, **more: str) -> dict[str, str]:
    return {**key, "headrace-account": str(name), **more}


def identity(who: UUID) -> str:
    issuer, subject = one(
        "select u.issuer, u.subject from users u join accounts a on a.user_id = u.id where a.id = %s", who
    )
    return f"{issuer}:{subject}"


def test_an_account_is_named_in_three_ways(http: TestClient) -> None:
    key, who = server(), account(amount=5)
    with transaction() as conn:
        conn.execute(
            "update users set email = 'one@example.com' where id = (select user_id from accounts where id = %s)", [who]
        )
    for name in (who, identity(who), "email:one@example.com"):
        found = http.get("/v1/me", headers=as_of(key, name))
        assert (found.status_code, found.json()["account_id"]) == (200, str(who)), found.text
    assert http.get("/v1/me", headers=key).json()["account_id"] != str(who)


def test_jobs_are_ordered_and_seen_on_fast_routes_too(http: TestClient) -> None:
    key, who, other = server(), account(amount=5), account()
    model("one")
    with environment({"OIDC_ISSUERS": CLERK, "KEY_CACHE_SECONDS": "0"}), TestClient(make_app()) as fresh:
        made = fresh.post("/v1/jobs", json={"model": "one", "input": {}}, headers=as_of(key, who))
        assert made.status_code == 201, made.text
        url = f"/v1/jobs/{made.json()['id']}"
        assert fresh.get(url, headers=as_of(key, who)).status_code == 200
        assert fresh.get(url, headers=key).status_code == 404
        assert fresh.get(url, headers=as_of(key, other)).status_code == 404
    assert balance(who) == (4, 1)
    assert rows("select api_key_id from jobs") == [(None,)]
    assert_books_are_clean()


def test_who_was_never_seen_is_created_once_when_told_to(http: TestClient) -> None:
    key = server()
    assert http.get("/v1/me", headers=as_of(key, "clerk:user_1")).json()["param"] == "Headrace-Account"
    told = as_of(key, "clerk:user_1", **{"headrace-create": "true"})
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: http.get("/v1/me", headers=told).json(), range(8)))
    assert len({each["account_id"] for each in answers}) == 1
    assert (answers[0]["issuer"], answers[0]["subject"], answers[0]["balance"]["available"]) == (CLERK, "user_1", 10)
    for name in (
        str(UUID(int=5)),
        "https://stranger.example:user_1",
        "email:nobody",
        "email:a@b c.de",
        "email:" + "a" * 320 + "@b.de",
    ):
        answer = http.get("/v1/me", headers=as_of(key, name, **{"headrace-create": "true"}))
        assert (answer.status_code, answer.json()["param"]) == (422, "Headrace-Account"), answer.text


def test_who_is_named_by_address_is_created_once_however_it_is_written(http: TestClient) -> None:
    key = server()
    told = [
        as_of(key, f"email:{address}", **{"headrace-create": "true"})
        for address in ("new@example.com", "New@Example.com")
    ]
    assert http.get("/v1/me", headers=as_of(key, "email:new@example.com")).status_code == 404
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda n: http.get("/v1/me", headers=told[n % 2]).json(), range(8)))
    assert len({each["account_id"] for each in answers}) == 1
    assert (answers[0]["email"], answers[0]["issuer"], answers[0]["balance"]["available"]) == (
        "new@example.com",
        "local",
        10,
    )
    for address in ("new@example.com", "NEW@EXAMPLE.COM"):
        found = http.get("/v1/me", headers=as_of(key, f"email:{address}"))
        assert found.json()["account_id"] == answers[0]["account_id"]
    assert_books_are_clean()


def test_who_was_deleted_is_not_created_again_by_their_address_which_is_kept_nowhere(http: TestClient) -> None:
    key = server()
    told = as_of(key, "email:gone@example.com", **{"headrace-create": "true"})
    who = http.get("/v1/me", headers=told).json()
    with transaction() as conn:
        people.bury(conn, people.Identity(who["issuer"], who["subject"]), "free")
    answer = http.get("/v1/me", headers=told)
    assert (answer.status_code, answer.json()["detail"]) == (403, "this user is deleted")
    assert rows("select 1 from users where to_jsonb(users)::text like '%%gone@example%%'") == []


@pytest.mark.parametrize("name", ["", "x", "email:", ":x", "clerk:", "a" * 500, "id:\x01"])
def test_a_name_that_names_nobody_is_refused(http: TestClient, name: str) -> None:
    answer = http.get("/v1/me", headers=as_of(server(), name))
    assert (answer.status_code, answer.json()["param"]) == (422, "Headrace-Account")


def test_an_address_of_several_is_refused(http: TestClient) -> None:
    for _ in range(2):
        account()
    with transaction() as conn:
        conn.execute("update users set email = 'both@example.com'")
    answer = http.get("/v1/me", headers=as_of(server(), "email:both@example.com"))
    assert answer.status_code == 422
    assert "several" in answer.json()["detail"]


def test_only_an_admins_key_with_the_scope_acts(http: TestClient) -> None:
    who = account()
    plain = {"authorization": f"Bearer {key_of(account())}"}
    for key in (plain, server("read", "write"), server("read", "act", role="pro")):
        answer = http.get("/v1/me", headers=as_of(key, who))
        assert (answer.status_code, answer.json()["code"]) == (403, "forbidden")
    body = {"name": "k", "scopes": ["read", "act"]}
    assert http.post("/v1/keys", json=body, headers=plain).status_code in {403, 422}


def test_it_may_no_more_than_its_key_and_never_what_admins_may(http: TestClient) -> None:
    boss = account()
    with transaction() as conn:
        conn.execute("update users set role = 'admin' where id = (select user_id from accounts where id = %s)", [boss])
    everything, reader = server(*SCOPES), server("read", "act")
    assert http.get("/v1/admin/users", headers=everything).status_code == 200
    assert http.get("/v1/admin/users", headers=as_of(everything, boss)).status_code == 403
    assert http.patch("/v1/me", json={"theme": "dark"}, headers=as_of(reader, boss)).status_code == 403
    assert (
        http.post("/v1/keys", json={"name": "k", "scopes": ["read"]}, headers=as_of(everything, boss)).status_code
        == 403
    )
    assert rows("select count(*) from api_keys where account_id = %s", boss) == [(0,)]


@pytest.mark.parametrize(("change", "code"), [
    ("suspended_at = app_now()", "suspended"), ("banned = true", "forbidden"), ("deleted_at = app_now()", "forbidden"),
])  # fmt: skip
def test_nobody_acts_for_who_is_shut_out(http: TestClient, change: str, code: str) -> None:
    key, who = server(), account()
    assert http.get("/v1/me", headers=as_of(key, who)).status_code == 200
    with transaction() as conn:
        conn.execute(f"update users set {change} where id = (select user_id from accounts where id = %s)", [who])
    answer = http.get("/v1/me", headers=as_of(key, who))
    assert (answer.status_code, answer.json()["code"]) == (403, code)


def test_what_it_changes_is_in_the_audit_log_and_what_it_reads_is_not(http: TestClient) -> None:
    key, who = server(), account()
    http.get("/v1/me", headers=as_of(key, who))
    assert rows("select count(*) from acts where action = 'account.act'") == [(0,)]
    http.patch("/v1/me", json={"theme": "dark"}, headers=as_of(key, who))
    found: list[Any] = rows("select subject, key_id, details from acts where action = 'account.act'")
    key_id = one("select id from api_keys where name = 'server'")[0]
    assert found == [(str(who), key_id, {"method": "PATCH", "path": "/v1/me"})]


def test_a_streams_token_ends_with_the_servers_key(http: TestClient) -> None:
    key, who = server(), account()
    made = http.post("/v1/events/token", headers=as_of(key, who)).json()
    visitor = read_token(made["token"], 0.0)
    with transaction() as conn:
        assert people.still_let_in(conn, [visitor]) == {visitor}
        api_keys.revoke(conn, one("select id from api_keys where name = 'server'")[0])
        assert people.still_let_in(conn, [visitor]) == set()
