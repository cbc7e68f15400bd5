"""Every function of the web client, in its shapes, and whom the door lets in."""

import logging
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import psycopg
import pytest
from fastapi.testclient import TestClient

from api.main import make_app, token_paths
from common.settings import settings
from tests.conftest import environment
from tests.models.provisioning.test_allowances import at_once
from tests.support import ADMIN_TOKEN, account, eventually, key_of, lock_waits, one

pytestmark = [
    pytest.mark.usefixtures("database"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
]

HEAD = {"authorization": f"Bearer {ADMIN_TOKEN}"}
NOW = int(time.time() * 1000)
RECORD = {
    "id": "cred_1", "userId": "user_1", "provider": "openai", "tokenHash": "a" * 64, "salt": "b" * 32,
    "scopes": ["chat", "images"], "planTier": "free", "issuedAt": NOW, "expiresAt": NOW + 86_400_000, "status": "active",
}  # fmt: skip
ENTRY = {"userId": "user_1", "provider": "openai", "tokensUsed": 120, "costMinorUnits": 3, "recordedAt": NOW}


@pytest.fixture
def http(database: str) -> Iterator[TestClient]:
    with TestClient(make_app(), raise_server_exceptions=False) as client:
        yield client


def call(http: TestClient, function: str, body: Any, **headers: str) -> Any:
    return http.post(f"/api/{function}", json=body, headers={**HEAD, **headers})


def said(http: TestClient, function: str, body: Any) -> Any:
    answer = call(http, function, body)
    assert answer.status_code == 200, answer.text
    return answer.json()


# --- what each function answers ---


def test_a_credential_is_answered_as_it_was_saved_without_what_was_left_out(http: TestClient) -> None:
    assert said(http, "provisioning/saveCredential", {"record": RECORD}) == {"result": True}
    wanted = {"userId": "user_1", "provider": "openai"}
    assert said(http, "provisioning/findActiveCredential", wanted) == {"credential": RECORD}
    assert said(http, "provisioning/findActiveCredential", {**wanted, "provider": "x"}) == {"credential": None}
    whole = {
        **RECORD, "id": "cred_2", "issuedAt": NOW + 1, "providerReference": "key_9", "lastRotatedAt": NOW - 1,
        "metadata": {"b": [1, 2.5, None, {"ü": "\\u0000 as text"}], "a": 2**53, "e": {}},
    }  # fmt: skip
    assert said(http, "provisioning/saveCredential", {"record": whole}) == {"result": True}
    assert said(http, "provisioning/listCredentials", {}) == {"credentials": [whole, RECORD]}


def test_one_that_is_revoked_or_has_expired_is_not_found(http: TestClient) -> None:
    past = {**RECORD, "id": "old", "issuedAt": NOW + 5, "expiresAt": NOW - 1}
    for record in (RECORD, past):
        said(http, "provisioning/saveCredential", {"record": record})
    wanted = {"userId": "user_1", "provider": "openai"}
    assert said(http, "provisioning/findActiveCredential", wanted) == {"credential": RECORD}
    assert said(http, "provisioning/markCredentialRevoked", {"credentialId": "cred_1"}) == {"result": True}
    assert said(http, "provisioning/findActiveCredential", wanted) == {"credential": None}
    assert said(http, "provisioning/markCredentialRevoked", {"credentialId": "none"}) == {"result": False}
    shown = said(http, "provisioning/listCredentials", {})["credentials"]
    assert shown == [past, {**RECORD, "status": "revoked"}]


def test_a_rotation_answers_the_credential_as_it_is_then(http: TestClient) -> None:
    said(http, "provisioning/saveCredential", {"record": RECORD})
    asked = {"credentialId": "cred_1", "tokenHash": "c" * 64, "salt": "d", "expiresAt": NOW + 5_000_000}
    found = said(http, "provisioning/rotateCredential", asked)["credential"]
    rotated_at = found.pop("lastRotatedAt")
    assert found == {**RECORD, "tokenHash": "c" * 64, "salt": "d", "expiresAt": NOW + 5_000_000}
    assert abs(rotated_at - time.time() * 1000) < 60_000
    nothing = call(http, "provisioning/rotateCredential", {**asked, "credentialId": "none"})
    assert (nothing.status_code, nothing.json()["code"], nothing.json()["param"]) == (404, "not_found", "credentialId")
    said(http, "provisioning/markCredentialRevoked", {"credentialId": "cred_1"})
    ended = call(http, "provisioning/rotateCredential", asked)
    assert (ended.status_code, ended.json()["code"]) == (400, "credential_ended")


def test_usage_is_answered_as_it_was_reported_and_listed_the_newest_first(http: TestClient) -> None:
    first = said(http, "provisioning/recordUsage", {"entry": {**ENTRY, "id": "one"}})
    assert first == {"usage": {**ENTRY, "id": "one"}}
    assert said(http, "provisioning/recordUsage", {"entry": {**ENTRY, "id": "one"}}) == first
    made = said(http, "provisioning/recordUsage", {"entry": {**ENTRY, "recordedAt": NOW + 1}})["usage"]
    assert made == {**ENTRY, "recordedAt": NOW + 1, "id": made["id"]}
    assert said(http, "provisioning/listUsage", {"userId": "user_1"}) == {"usage": [made, first["usage"]]}
    assert said(http, "provisioning/listUsage", {"userId": "user_2"}) == {"usage": []}


@pytest.mark.parametrize(("function", "body", "field"), [
    ("provisioning/recordUsage", lambda more: {"entry": {**ENTRY, "id": "one", **more}}, "tokensUsed"),
    ("provisioning/saveCredential", lambda more: {"record": {**RECORD, **more}}, "salt"),
])  # fmt: skip
def test_an_id_that_has_another_thing_is_refused_for_good(
    http: TestClient, function: str, body: Any, field: str
) -> None:
    said(http, function, body({}))
    answer = call(http, function, body({field: 7 if field == "tokensUsed" else "another"}))
    assert (answer.status_code, answer.json()["code"], answer.json()["retryable"]) == (422, "id_taken", False)
    assert answer.json()["param"] in {"entry.id", "record.id"}


def test_an_account_is_made_changed_in_place_and_counts(http: TestClient) -> None:
    made = said(http, "account/getOrCreate", {"userId": "user_1"})["account"]
    updated_at = made["usage"].pop("lastUpdated")
    assert abs(updated_at - time.time() * 1000) < 60_000
    assert made == {
        "userId": "user_1", "planTier": "free", "billingStatus": "free", "premiumExpiresAt": None,
        "usage": {"monthTokensUsed": 0, "monthlyAllowance": 50_000},
    }  # fmt: skip
    counted = said(http, "account/recordUsage", {"userId": "user_1", "provider": "openai", "tokensUsed": 60_000})
    assert counted["account"]["usage"]["monthTokensUsed"] == 60_000
    payload = {"userId": "user_1", "planTier": "premium", "billingStatus": "active", "premiumExpiresAt": NOW}
    found = said(http, "account/updateAccount", {"payload": payload})["account"]
    assert {**payload, "usage": counted["account"]["usage"]} == found
    del payload["premiumExpiresAt"]
    assert said(http, "account/updateAccount", {"payload": payload})["account"]["premiumExpiresAt"] is None
    assert one("select count(*) from web_accounts") == (1,)


@pytest.mark.parametrize(("function", "body"), [
    ("account/updateAccount", {"payload": {"userId": "new", "planTier": "p", "billingStatus": "active"}}),
    ("account/recordUsage", {"userId": "new", "provider": "openai", "tokensUsed": 0}),
])  # fmt: skip
def test_whoever_comes_first_makes_the_account(http: TestClient, function: str, body: Any) -> None:
    assert said(http, function, body)["account"]["userId"] == "new"


def test_fifty_requests_for_one_user_at_once_are_all_answered_with_one_account(http: TestClient) -> None:
    found = at_once(lambda _: said(http, "account/getOrCreate", {"userId": "user_1"}))
    assert found == [found[0]] * 50
    counted = at_once(
        lambda _: said(http, "account/recordUsage", {"userId": "user_1", "provider": "p", "tokensUsed": 2})
    )
    assert sorted(each["account"]["usage"]["monthTokensUsed"] for each in counted) == list(range(2, 101, 2))
    assert one("select count(*) from web_accounts") == (1,)


def test_a_whole_number_may_be_written_with_a_point(http: TestClient) -> None:
    body = b'{"userId": "u", "provider": "p", "tokensUsed": 5.0}'
    answer = http.post("/api/account/recordUsage", content=body, headers={**HEAD, "content-type": "application/json"})
    assert answer.json()["account"]["usage"]["monthTokensUsed"] == 5


def test_an_account_may_be_sent_back_as_it_was_answered(http: TestClient) -> None:
    account_ = said(http, "account/getOrCreate", {"userId": "user_1"})["account"]
    payload = {name: account_[name] for name in ("userId", "planTier", "billingStatus", "premiumExpiresAt")}
    assert said(http, "account/updateAccount", {"payload": payload})["account"] == account_


def test_the_longest_names_of_the_widest_letters_are_kept(http: TestClient) -> None:
    long = "😀" * 300
    names = {"userId": long, "provider": long}
    record = {**RECORD, **names, "id": long, "providerReference": long}
    said(http, "provisioning/saveCredential", {"record": record})
    assert said(http, "provisioning/findActiveCredential", names) == {"credential": record}
    entry = {**ENTRY, **names, "id": long}
    assert said(http, "provisioning/recordUsage", {"entry": entry}) == {"usage": entry}
    assert said(http, "account/recordUsage", {**names, "tokensUsed": 1})["account"]["userId"] == long


# --- lists that are longer than a page ---


def test_a_list_says_where_it_goes_on_only_if_it_does(http: TestClient) -> None:
    for number in range(5):
        said(http, "provisioning/saveCredential", {"record": {**RECORD, "id": f"c{number}", "issuedAt": NOW + number}})
        said(http, "provisioning/recordUsage", {"entry": {**ENTRY, "id": f"u{number}", "recordedAt": NOW + number}})
    for function, name, first in (
        ("provisioning/listCredentials", "credentials", {}),
        ("provisioning/listUsage", "usage", {"userId": "user_1"}),
    ):
        found, asked = [], {**first, "limit": 2}
        for _ in range(3):
            page = said(http, function, asked)
            found += [each["id"][1] for each in page[name]]
            asked = {**asked, "cursor": page.get("next")}
        assert found == ["4", "3", "2", "1", "0"]
        assert set(page) == {name}, "there is no more, and it is not said that there is nothing"
        assert set(said(http, function, {**first, "limit": 5})) == {name}
        wrong = call(http, function, {**first, "cursor": "x"})
        assert (wrong.status_code, wrong.json()["code"]) == (422, "invalid_cursor")


# --- the door ---


@pytest.mark.parametrize("path", token_paths())
@pytest.mark.parametrize("header", [
    None, "", "Bearer", "Bearer ", "Convex ", "Bearer x", f"Bearer {ADMIN_TOKEN}x", f"Bearer {ADMIN_TOKEN[:-1]}",
    f"Basic {ADMIN_TOKEN}", ADMIN_TOKEN, f"Bearer {ADMIN_TOKEN.upper()}", "Bearer " + "x" * 5000, "Bearer é", "Bearer ,",
])  # fmt: skip
def test_nobody_else_gets_in(http: TestClient, path: str, header: str | None) -> None:
    head = {} if header is None else {"authorization": header.encode("latin-1")}
    answer = http.post(path, content=b"not even JSON", headers=head)
    assert (answer.status_code, answer.json()["code"]) == (401, "not_authenticated")
    assert answer.headers["www-authenticate"] == "Bearer"
    assert ADMIN_TOKEN[:8] not in answer.text


def test_a_key_of_ours_is_not_the_web_clients_token_nor_the_other_way_round(http: TestClient) -> None:
    who = key_of(account())
    assert call(http, "account/getOrCreate", {"userId": "u"}, authorization=f"Bearer {who}").status_code == 401
    assert http.get("/v1/me", headers=HEAD).status_code == 401


@pytest.mark.parametrize("scheme", ["Bearer", "bearer", "Convex", "CONVEX"])
def test_the_token_comes_as_bearer_or_as_convex_sends_it(http: TestClient, scheme: str) -> None:
    head = {"authorization": f"{scheme} {ADMIN_TOKEN}"}
    assert http.post("/api/account/getOrCreate", json={"userId": "u"}, headers=head).status_code == 200


def test_while_the_token_changes_both_are_good() -> None:
    with environment({"PROVISIONING_ADMIN_TOKEN": "one-token, another"}), TestClient(make_app()) as http:
        statuses = [
            call(http, "account/getOrCreate", {"userId": "u"}, authorization=f"Bearer {token}").status_code
            for token in ("one-token", "another", "one-token, another", ADMIN_TOKEN)
        ]
    assert statuses == [200, 200, 401, 401]


@pytest.mark.parametrize("value", ["", " , "])
def test_without_a_token_the_routes_are_off_and_say_so(value: str) -> None:
    with environment({"PROVISIONING_ADMIN_TOKEN": value}), TestClient(make_app()) as http:
        for path in token_paths():
            for head in ({}, HEAD, {"authorization": "Bearer "}):
                answer = http.post(path, json={"userId": "u"}, headers=head)
                assert (answer.status_code, answer.json()["code"]) == (404, "not_configured")
                assert "PROVISIONING_ADMIN_TOKEN" in answer.json()["detail"]


def test_who_guesses_is_counted_and_who_has_the_token_is_not_shut_out() -> None:
    with environment({"FAILED_AUTH_PER_MINUTE": "3"}), TestClient(make_app()) as http:
        guesses = [
            call(http, "account/getOrCreate", {"userId": "u"}, authorization="Bearer x").status_code for _ in range(5)
        ]
        assert guesses == [401, 401, 401, 429, 429]
        assert call(http, "account/getOrCreate", {"userId": "u"}).status_code == 200
        key = http.get("/v1/me", headers={"authorization": "Bearer x"})
        assert key.status_code == 429, "it is one count for all doors"


def test_neither_the_token_nor_a_hash_is_in_a_log_or_an_answer_that_refuses(
    http: TestClient, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    secrets = {"tokenHash": "hash-of-a-token-91", "salt": "salt-of-a-token-92"}
    answers = [
        call(http, "provisioning/saveCredential", {"record": {**RECORD, **secrets, **more}})
        for more in ({}, {"scopes": "x"}, {"tokenHash": ["hash-of-a-token-91"]}, {"provider": "other"})
    ]
    assert [each.status_code for each in answers] == [200, 422, 422, 422]
    found = caplog.text + "".join(each.text for each in answers)
    assert not [each for each in (ADMIN_TOKEN, *secrets.values()) if each in found]


def test_a_user_whose_row_is_held_delays_nobody_else(http: TestClient) -> None:
    for user in ("held", "free"):
        said(http, "account/getOrCreate", {"userId": user})
    with psycopg.connect(settings().database_url) as other:
        other.execute("select 1 from web_accounts where user_id = 'held' for update")
        body = {"userId": "free", "provider": "p", "tokensUsed": 1}
        held = {**body, "userId": "held"}

        def waits(_: int) -> int:
            status: int = call(http, "account/recordUsage", held).status_code
            return status

        with ThreadPoolExecutor(10) as pool:
            late = [pool.submit(waits, number) for number in range(10)]
            eventually(lambda: lock_waits() > 0, what="those that wait")
            begun = time.monotonic()
            assert call(http, "account/recordUsage", body).status_code == 200
            assert time.monotonic() - begun < 1
            assert {each.result() for each in late} == {503}
        other.rollback()
    assert said(http, "account/recordUsage", held)["account"]["usage"]["monthTokensUsed"] == 1
