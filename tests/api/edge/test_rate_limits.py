"""How much a key, an account and an address may: budgets, rates, daily texts; and what Redis' absence does to it."""

import asyncio
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Any

import pytest
from starlette.testclient import TestClient

from api.edge import rate_limits
from api.main import make_app
from models.access import api_keys
from models.catalogue import entries
from models.catalogue.entries import Entry
from models.db import transaction
from models.jobs import admission
from models.jobs.submit import first_id_of
from tests.conftest import environment
from tests.support import SCHEMA, account, assert_books_are_clean, key_of, model, one, order, place

pytestmark = [
    pytest.mark.usefixtures("database"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
]


@pytest.fixture
def http(database: str) -> Iterator[TestClient]:
    model("dear", price={"credits": 4})
    model("picture")
    text_model()
    with TestClient(make_app(), raise_server_exceptions=False) as client:
        yield client


def head(who: Any, **fields: Any) -> dict[str, str]:
    with transaction() as conn:
        return {"authorization": f"Bearer {api_keys.create(conn, who, api_keys.NewKey('test', **fields))[1]}"}


def test_a_keys_rate_is_told_in_headers_and_enforced(http: TestClient) -> None:
    who = account()
    key, other = head(who, per_minute=3), head(who)
    answers = [http.get("/v1/credits", headers=key) for _ in range(4)]
    assert [each.status_code for each in answers] == [200, 200, 200, 429]
    assert [each.headers["ratelimit-remaining"] for each in answers] == ["2", "1", "0", "0"]
    last = answers[-1]
    assert last.headers["ratelimit-limit"] == "3"
    assert 1 <= int(last.headers["retry-after"]) <= 60
    assert last.json()["code"] == "rate_limited"
    assert last.json()["retryable"]
    assert http.get("/v1/credits", headers=other).status_code == 200
    assert "ratelimit-limit" not in http.get("/v1/credits", headers=other).headers


def test_an_accounts_rate_is_shared_by_its_keys(database: str) -> None:
    with environment({"ACCOUNT_PER_MINUTE": "2"}), TestClient(make_app()) as http:
        who, other = account(), account()
        assert http.get("/v1/credits", headers=head(who)).status_code == 200
        assert http.get("/v1/credits", headers=head(who)).status_code == 200
        assert http.get("/v1/credits", headers=head(who)).status_code == 429
        assert http.get("/v1/credits", headers=head(other)).status_code == 200


def test_guessing_keys_is_slowed_and_does_not_lock_out_who_has_one(database: str) -> None:
    with environment({"FAILED_AUTH_PER_MINUTE": "5", "KEY_CACHE_SECONDS": "0"}), TestClient(make_app()) as http:
        good = head(account())
        assert http.get("/v1/credits", headers=good).status_code == 200
        wrong = [http.get("/v1/credits", headers=unknown()) for _ in range(7)]
        assert [each.status_code for each in wrong] == [401] * 5 + [429] * 2
        assert wrong[-1].headers["ratelimit-remaining"] == "0"
        assert http.get("/v1/credits", headers=good).status_code == 200


def unknown() -> dict[str, str]:
    return {"authorization": f"Bearer {api_keys.make_secret()}"}


@pytest.fixture
def lookups(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many keys each question to the database was about."""
    asked: list[int] = []
    real = api_keys.callers

    def counted(conn: Any, hashes: list[bytes]) -> Any:
        asked.append(len(hashes))
        return real(conn, hashes)

    monkeypatch.setattr(api_keys, "callers", counted)
    return asked


def test_unknown_keys_cost_no_query_past_the_limit_and_what_is_no_key_costs_none_at_all(
    database: str, lookups: list[int]
) -> None:
    with environment({"FAILED_AUTH_PER_MINUTE": "5"}), TestClient(make_app()) as http:
        for text in ("hr_" + "a" * 38, "nonsense", "x" * 300, api_keys.make_secret()[:-1]):
            assert http.get("/v1/credits", headers={"authorization": f"Bearer {text}"}).status_code == 401
        assert lookups == []
        assert http.get("/v1/credits", headers=unknown()).status_code == 401
        assert {http.get("/v1/credits", headers=unknown()).status_code for _ in range(9)} == {429}
        assert sum(lookups) == 1
        same = unknown()
        assert {http.get("/v1/credits", headers=same).status_code for _ in range(2)} == {429}
        assert sum(lookups) == 1


def test_of_many_unknown_keys_at_once_no_more_are_looked_up_than_may_fail(database: str, lookups: list[int]) -> None:
    with environment({"FAILED_AUTH_PER_MINUTE": "7"}), TestClient(make_app()) as http, ThreadPoolExecutor(30) as pool:
        statuses = list(pool.map(lambda _: http.get("/v1/credits", headers=unknown()).status_code, range(60)))
    assert sorted(statuses) == [401] * 7 + [429] * 53
    assert sum(lookups) == 7


def test_a_failure_that_is_being_counted_is_not_counted_as_one_to_come_as_well(
    database: str, lookups: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    real, counted = rate_limits._answer, threading.Event()

    async def slow(limiter: Any, item: Any, name: str, *, hit: bool, cost: int) -> Any:
        answer = await real(limiter, item, name, hit=hit, cost=cost)
        if hit:
            counted.set()
            await asyncio.sleep(0.3)  # the count is in Redis, its answer on the way
        return answer

    monkeypatch.setattr(rate_limits, "_answer", slow)
    with environment({"FAILED_AUTH_PER_MINUTE": "3"}), TestClient(make_app()) as http, ThreadPoolExecutor(3) as pool:

        def ask(_: int) -> int:
            return http.get("/v1/credits", headers=unknown()).status_code

        first = pool.submit(ask, 0)
        assert counted.wait(10)
        assert [*pool.map(ask, range(2)), first.result(), ask(3)] == [401] * 3 + [429]
    assert sum(lookups) == 3


def test_many_good_keys_that_come_at_once_are_all_let_in(database: str) -> None:
    who = account()
    heads = [head(who) for _ in range(60)]
    with environment({"FAILED_AUTH_PER_MINUTE": "25"}), TestClient(make_app()) as http, ThreadPoolExecutor(30) as pool:
        assert set(pool.map(lambda each: http.get("/v1/credits", headers=each).status_code, heads)) == {200}


def test_a_key_that_stops_working_is_unknown_like_any_other(database: str, lookups: list[int]) -> None:
    who = account()
    with environment({"FAILED_AUTH_PER_MINUTE": "3", "KEY_CACHE_SECONDS": "0"}), TestClient(make_app()) as http:
        key = head(who)
        assert http.get("/v1/credits", headers=key).status_code == 200
        with transaction() as conn:
            conn.execute("update api_keys set revoked_at = app_now()")
        assert [http.get("/v1/credits", headers=key).status_code for _ in range(5)] == [401] * 3 + [429] * 2
        assert sum(lookups) == 4


@pytest.mark.parametrize(("fields", "path"), [
    ({"scopes": ["write"]}, "/v1/credits"),  # the scope is missing
    ({"scopes": ["read", "admin"]}, "/v1/admin/users"),  # the role is missing
])  # fmt: skip
def test_a_refusal_of_what_a_key_may_counts_as_one_of_who_it_is(database: str, fields: Any, path: str) -> None:
    with environment({"FAILED_AUTH_PER_MINUTE": "3"}), TestClient(make_app()) as http:
        key = head(account(), **fields)
        assert [http.get(path, headers=key).status_code for _ in range(5)] == [403] * 3 + [429] * 2
        assert http.get("/v1/credits", headers=unknown()).status_code == 429


def test_what_is_refused_counts_for_the_keys_and_the_accounts_rate(database: str) -> None:
    with environment({"ACCOUNT_PER_MINUTE": "5"}), TestClient(make_app()) as http:
        key = head(account(), scopes=["write"], per_minute=3)
        assert [http.get("/v1/credits", headers=key).status_code for _ in range(5)] == [403] * 3 + [429] * 2


@pytest.mark.parametrize(
    "what", ["a wrong stream token", "a model that the key is not for", "a hook that nobody signed"]
)
def test_every_refusal_for_who_asks_is_counted_wherever_it_comes_from(database: str, what: str) -> None:
    values = {
        "FAILED_AUTH_PER_MINUTE": "3", "CLERK_WEBHOOK_SECRET": "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD",
        "OIDC_ISSUERS": "https://clerk.example",
    }  # fmt: skip
    with environment(values), TestClient(make_app()) as http:
        key = head(account(), models=["one"])

        def ask() -> int:
            if what == "a wrong stream token":
                stream = {"accept": "text/event-stream"}
                return http.get("/v1/events", params={"token": "x"}, headers=stream).status_code
            if what == "a hook that nobody signed":
                return http.post("/hooks/clerk", content=b"{}").status_code
            return http.post("/v1/jobs", json={"model": "two", "input": {}}, headers=key).status_code

        first = 403 if what == "a model that the key is not for" else 401
        assert [ask() for _ in range(4)] == [first] * 3 + [429]


def test_a_child_and_its_maker_share_the_makers_rate(http: TestClient) -> None:
    who = account()
    parent = head(who, per_minute=4)
    made = http.post("/v1/keys", json={"name": "child", "scopes": ["read"]}, headers=parent).json()["secret"]
    child = {"authorization": f"Bearer {made}"}
    assert [http.get("/v1/credits", headers=child).status_code for _ in range(4)] == [200] * 3 + [429]
    assert http.get("/v1/credits", headers=parent).status_code == 429


def test_without_redis_each_process_counts_for_itself(database: str) -> None:
    with environment({"REDIS_URL": "redis://127.0.0.1:1/0"}), TestClient(make_app()) as http:
        key = head(account(), per_minute=2)
        begun = time.monotonic()
        assert [http.get("/v1/credits", headers=key).status_code for _ in range(3)] == [200, 200, 429]
        assert time.monotonic() - begun < 5


def test_a_keys_monthly_budget_counts_what_its_jobs_cost(http: TestClient) -> None:
    who = account(amount=100)
    key = head(who, monthly_credits=10)
    jobs = [http.post("/v1/jobs", json={"model": "dear", "input": {}}, headers=key) for _ in range(3)]
    assert [each.status_code for each in jobs] == [201, 201, 402]
    refused = jobs[-1].json()
    assert (refused["code"], refused["needed"], refused["spent"], refused["budget"]) == (
        "key_budget_exceeded",
        4,
        8,
        10,
    )
    assert not refused["retryable"]
    http.post(f"/v1/jobs/{jobs[0].json()['id']}/cancel", headers=key)  # given back to the key as well
    assert http.get("/v1/keys", headers=key).json()["data"][0]["spent_this_month"] == 4
    assert http.post("/v1/jobs", json={"model": "dear", "input": {}}, headers=key).status_code == 201
    assert (
        http.post("/v1/jobs", json={"model": "dear", "input": {}}, headers=head(who)).status_code == 201
    )  # another key
    assert_books_are_clean()
    with transaction() as conn:
        conn.execute("update key_spending set month = month - interval '1 month'")
    assert http.post("/v1/jobs", json={"model": "dear", "input": {}}, headers=key).status_code == 201


def text_model() -> None:
    entry = Entry.model_validate(
        {
            "id": "words", "name": "words", "kind": "text", "input_schema": SCHEMA, "price": {"unit": "job", "credits": 1},
            "routes": [{"provider": "sketch", "model": "image"}],
        }
    )  # fmt: skip
    with transaction() as conn:
        entries.apply(conn, [entry])


def test_the_free_plan_has_five_texts_a_day_and_counts_only_todays(http: TestClient) -> None:
    who, paying = account(amount=50, plan="free"), account(amount=50, plan="pro")
    body = {"model": "words", "input": {}}
    answers = [http.post("/v1/jobs", json=body, headers=head(who)) for _ in range(6)]
    assert [each.status_code for each in answers] == [201] * 5 + [403]
    assert (answers[-1].json()["code"], answers[-1].json()["limit"]) == ("daily_limit_reached", 5)
    assert one("select available, reserved from accounts where id = %s", who) == (45, 5)
    assert [http.post("/v1/jobs", json=body, headers=head(paying)).status_code for _ in range(6)] == [201] * 6
    assert http.post("/v1/jobs", json={"model": "picture", "input": {}}, headers=head(who)).status_code == 201
    with environment({"CLOCK_OFFSET_SECONDS": "86400"}):
        with transaction() as conn:
            offer = entries.offers(conn)["words"]
        assert isinstance(place(order(who, offer))[0], admission.Accepted)


def test_a_batch_of_submits_counts_its_own_texts_and_budget() -> None:
    text_model()
    who = account(amount=50, plan="free")
    with transaction() as conn:
        offer = entries.offers(conn)["words"]
        key_id, _ = api_keys.create(conn, who, api_keys.NewKey("test", monthly_credits=3))
    answers = place(*(order(who, offer, api_key_id=key_id, key_budget=3) for _ in range(4)))
    assert [type(each).__name__ for each in answers] == ["Accepted"] * 3 + ["BudgetExceeded"]
    answers = place(*(order(who, offer) for _ in range(4)))
    assert [type(each).__name__ for each in answers] == ["Accepted"] * 2 + ["DailyLimitReached"] * 2
    assert one("select credits from key_spending") == (3,)


def test_the_first_id_of_a_day_is_below_all_of_it() -> None:
    low = first_id_of(datetime(2026, 11, 21, 17, 30, tzinfo=UTC))
    assert low.version == 7
    assert int(low.hex[:12], 16) == int(datetime(2026, 11, 21, tzinfo=UTC).timestamp() * 1000)


def test_uses_are_counted_without_a_write_per_request(database: str) -> None:
    who = account()
    with TestClient(make_app()) as http:
        key = {"authorization": f"Bearer {key_of(who)}"}
        for _ in range(5):
            assert http.get("/v1/credits", headers=key).status_code == 200
        assert one("select uses, last_used_at from api_keys") == (0, None)
    uses, last = one("select uses, last_used_at from api_keys")
    assert uses == 5
    assert last is not None


@pytest.mark.parametrize("text", ["hr_", "hr_" + "a" * 38, "sk_" + "a" * 38, "", "hr_ü" + "a" * 37])
def test_a_text_that_is_no_key_is_known_offline(text: str) -> None:
    assert not api_keys.looks_like_a_key(text)


def test_a_key_with_one_letter_changed_is_known_offline() -> None:
    secret = api_keys.make_secret()
    assert api_keys.looks_like_a_key(secret)
    for place_of in range(3, len(secret)):
        other = "A" if secret[place_of] != "A" else "B"
        assert not api_keys.looks_like_a_key(secret[:place_of] + other + secret[place_of + 1 :])
