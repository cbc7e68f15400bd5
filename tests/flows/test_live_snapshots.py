"""Streams that begin with the jobs, and what browser tokens hear and order: a real API process."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any
from uuid import UUID

import httpx
import pytest

from models.credits import ledger
from models.db import transaction
from models.jobs import cancel
from tests.listening import Listening
from tests.support import System, account, assert_books_are_clean, balance, eventually, key_of, model, one, placed

STREAM = {"accept": "text/event-stream"}


@pytest.fixture
def running(system: System) -> System:
    model("one")
    model("two")
    system.start("api", api={"HEARTBEAT_SECONDS": "1", "KEY_CACHE_SECONDS": "0"})
    return system


def headers_of(account_id: UUID) -> dict[str, str]:
    return {"authorization": f"Bearer {key_of(account_id)}"}


def token_of(running: System, who: UUID, **wish: Any) -> tuple[str, dict[str, str]]:
    """A token's id, and the headers that send it."""
    made = httpx.post(f"{running.url}/v1/tokens", json=wish, headers=headers_of(who))
    assert made.status_code == 201, made.text
    return made.json()["id"], {"authorization": f"Bearer {made.json()['token']}"}


def gift(who: UUID, ref: str) -> None:
    with transaction() as conn:
        ledger.grant(conn, who, kind="gift", amount=1, ref=ref)


def canceled(job_id: UUID) -> None:
    with transaction() as conn:
        cancel.cancel(conn, job_id)


def current(who: UUID) -> int:
    number: int = one("select event_number from accounts where id = %s", who)[0]
    return number


def test_a_stream_begins_with_a_page_of_jobs_and_the_credits_and_goes_on_from_there(running: System) -> None:
    who, headers = account(amount=20), {}
    for name in ("one", "two", "one"):
        placed(who, model(name))
    begin, headers = current(who), headers_of(who)
    url = f"{running.url}/v1/events"
    with Listening(f"{url}?snapshot=jobs&limit=2", headers) as heard:
        eventually(lambda: bool(heard.frames), what="the snapshot")
        gift(who, "after")
        eventually(lambda: "credits.granted" in heard.kinds(), what="what comes after")
    first = heard.frames[0]
    with httpx.Client(base_url=running.url, headers=headers) as http:
        page = http.get("/v1/jobs", params={"limit": 2}).json()
        credits = {**http.get("/v1/credits").json(), "available": 17, "event_number": begin}
        assert (heard.kinds(), int(first["id"])) == (["snapshot", "credits.granted"], begin)
        assert first["data"] == {**page, "credits": credits}
        rest = http.get("/v1/jobs", params={"cursor": first["data"]["next"]}).json()
        assert len(first["data"]["data"] + rest["data"]) == 3
    with Listening(f"{url}?snapshot=jobs&model=two", headers) as heard:
        eventually(lambda: bool(heard.frames), what="the snapshot")
    assert [job["model"] for job in heard.frames[0]["data"]["data"]] == ["two"]


def test_who_resumes_gets_a_snapshot_only_where_the_place_is_gone(running: System) -> None:
    who = account(amount=20)
    headers, url = headers_of(who), f"{running.url}/v1/events?snapshot=jobs"
    for number in range(4):
        gift(who, f"gift {number}")
    newest = current(who)
    with Listening(url, headers, after=newest - 2) as heard:
        eventually(lambda: len(heard.frames) == 2, what="what was missed")
    assert heard.kinds() == ["credits.granted"] * 2
    with transaction() as conn:
        conn.execute("delete from events where account_id = %s and number <= 3", [who])
    for gone in (1, newest + 50):
        with Listening(url, headers, after=gone) as heard:
            eventually(lambda heard=heard: bool(heard.frames), what="the snapshot")
            gift(who, f"after {gone}")
            eventually(lambda heard=heard: len(heard.frames) == 2, what="what comes after")
        assert heard.kinds() == ["snapshot", "credits.granted"]
        assert [int(frame["id"]) for frame in heard.frames] == [newest, newest + 1]
        newest += 1
    with Listening(f"{running.url}/v1/events", headers, after=1) as heard:  # who has not asked for one
        eventually(lambda: bool(heard.frames), what="the reset")
    assert heard.kinds() == ["reset"]


@pytest.mark.parametrize("query", [
    "snapshot=tasks", "snapshot=jobs&status=done", "snapshot=jobs&limit=0", "snapshot=jobs&label=x", "model=one", "snapshot=jobs&cursor=x",
])  # fmt: skip
def test_what_a_snapshot_does_not_know_is_refused(running: System, query: str) -> None:
    answer = httpx.get(f"{running.url}/v1/events?{query}", headers={**headers_of(account()), **STREAM})
    assert (answer.status_code, answer.json()["param"]) == (422, query.rpartition("&")[2].partition("=")[0])


def test_a_page_of_events_has_no_snapshot(running: System) -> None:
    answer = httpx.get(f"{running.url}/v1/events?snapshot=jobs", headers=headers_of(account()))
    assert (answer.status_code, answer.json()["param"]) == (422, "snapshot")


@pytest.mark.parametrize("snapshot", ["?snapshot=jobs", ""])
@pytest.mark.parametrize("kind", ["model", "job"])
def test_a_token_hears_what_is_within_its_reach_alone(running: System, kind: str, snapshot: str) -> None:
    who = account(amount=20)
    mine, other = placed(who, model("one")), placed(who, model("two"))
    reach = {"model": "one"} if kind == "model" else {"job": str(mine)}
    headers = token_of(running, who, may=["stream"], **reach)[1]
    begin = current(who)
    with Listening(f"{running.url}/v1/events{snapshot}", headers) as heard:
        eventually(lambda: heard.heartbeats > 0, what="that it listens")
        gift(who, "a gift")
        for job_id in (other, mine):
            canceled(job_id)
        eventually(lambda: "job.canceled" in heard.kinds(), what="the end of its job")
    seen = [frame for frame in heard.frames if frame["event"] != "snapshot"]
    assert [(frame["event"], frame["job_id"]) for frame in seen] == [("job.canceled", str(mine))]
    if snapshot:
        shown = heard.frames[0]["data"]
        assert ([job["id"] for job in shown["data"]], shown["credits"]) == ([str(mine)], None)
    with Listening(f"{running.url}/v1/events", headers, after=begin) as late:  # what is past is narrowed as well
        eventually(lambda: bool(late.frames), what="its past")
    assert [frame["job_id"] for frame in late.frames] == [str(mine)]


def test_a_tokens_stream_ends_with_it(running: System) -> None:
    who = account(amount=20)
    for statement in (
        "update browser_tokens set revoked_at = app_now() where id = %s",
        "update browser_tokens set expires_at = app_now() where id = %s",
        "update api_keys set revoked_at = app_now() where id = (select key_id from browser_tokens where id = %s)",
    ):
        token_id, headers = token_of(running, who, may=["stream"])
        with Listening(f"{running.url}/v1/events", headers, again=False) as heard:
            eventually(lambda heard=heard: bool(heard.frames), what="the first frame")
            with transaction() as conn:
                conn.execute(statement, [token_id])
            assert heard.over.wait(10), statement


def test_sixty_four_orders_at_once_take_what_the_token_has(running: System) -> None:
    who = account(amount=100)
    token_id, headers = token_of(running, who, may=["generate"], credits=10, model="one")
    body = {"model": "one", "input": {}}
    with httpx.Client(
        base_url=running.url, headers=headers, timeout=60, limits=httpx.Limits(max_connections=64)
    ) as http:
        with ThreadPoolExecutor(64) as pool:
            statuses = list(pool.map(lambda _: http.post("/v1/jobs", json=body).status_code, range(64)))
    assert sorted(statuses) == [201] * 10 + [402] * 54
    assert one("select spent from browser_tokens where id = %s", token_id) == (10,)
    assert balance(who) == (90, 10)
    assert_books_are_clean()


def test_a_page_of_another_origin_may_send_what_it_needs(system: System) -> None:
    origin = "https://app.example.com"
    system.start("api", api={"CORS_ORIGINS": origin})
    asked = "authorization, last-event-id, idempotency-key, content-type, prefer, if-match, headrace-account"
    for path, method in (
        ("/v1/events", "GET"),
        ("/v1/tokens", "POST"),
        ("/v1/tokens/x", "DELETE"),
        ("/v1/jobs", "POST"),
    ):
        preflight = httpx.options(
            f"{system.url}{path}",
            headers={
                "origin": origin,
                "access-control-request-method": method,
                "access-control-request-headers": asked,
            },
        )
        assert (preflight.status_code, preflight.headers["access-control-allow-origin"]) == (200, origin)
        assert set(asked.split(", ")) <= set(preflight.headers["access-control-allow-headers"].lower().split(", "))
        assert method in preflight.headers["access-control-allow-methods"]
    headers = {**headers_of(account()), "origin": origin, **STREAM}
    with httpx.stream("GET", f"{system.url}/v1/events?snapshot=jobs", headers=headers) as stream:
        assert stream.headers["access-control-allow-origin"] == origin
    refused = httpx.get(f"{system.url}/v1/jobs", headers={"origin": origin})
    assert (refused.status_code, refused.headers["access-control-allow-origin"]) == (401, origin)
    assert {"x-request-id", "retry-after", "preference-applied"} <= set(
        refused.headers["access-control-expose-headers"].lower().split(", ")
    )
