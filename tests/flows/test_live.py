"""Listeners hear at once, and nothing twice: real API, worker and scheduler processes."""

import json
import os
import time
from concurrent.futures import ThreadPoolExecutor
from uuid import UUID

import httpx
import pytest

from models.credits import ledger
from models.db import transaction
from models.jobs.ending import Ending, end
from tests.listening import Listening
from tests.support import (
    System,
    account,
    almost,
    assert_books_are_clean,
    claimed,
    ended,
    eventually,
    key_of,
    model,
    one,
)


@pytest.fixture
def running(system: System) -> System:
    system.start("api", "worker", "scheduler", api={"HEARTBEAT_SECONDS": "1"})
    return system


def headers_of(account_id: UUID) -> dict[str, str]:
    return {"authorization": f"Bearer {key_of(account_id)}"}


def current(account_id: UUID) -> int:
    number: int = one("select event_number from accounts where id = %s", account_id)[0]
    return number


def test_an_account_hears_its_jobs_and_its_balance_at_once(running: System) -> None:
    who = account(amount=20)
    begin = current(who)
    with Listening(f"{running.url}/v1/events", headers_of(who)) as heard, running.client(who) as http:
        job = http.post("/v1/jobs", json={"model": "sketch-image", "input": {"prompt": "a lake", "count": 2}}).json()
        eventually(lambda: "job.succeeded" in heard.kinds(), what="the end")
        with transaction() as conn:
            ledger.grant(conn, who, kind="gift", amount=5, ref="more")
        eventually(lambda: "credits.granted" in heard.kinds(), seconds=2, what="the grant")
        eventually(lambda: heard.heartbeats > 0, what="a heartbeat")
        assert heard.kinds() == [
            "balance", "job.queued", "job.running", "job.output", "job.output", "job.succeeded", "credits.granted",
        ]  # fmt: skip
        assert heard.frames[0]["data"] == {"available": 20, "reserved": 0, "debt": 0}
        assert heard.numbers() == list(range(begin + 1, begin + 6))
        outputs = [frame["data"]["output"] for frame in heard.frames if frame["event"] == "job.output"]
        done = ended(http, job["id"])
        assert [output["url"] for output in outputs] == [output["url"] for output in done["outputs"]]
        assert heard.frames[-1]["data"]["available"] == 25 - done["credits"]["charged"]
        assert heard.response_headers["content-type"].startswith("text/event-stream")
        assert heard.response_headers["cache-control"] == "no-store"
        assert heard.response_headers["x-accel-buffering"] == "no"
        replay = http.get("/v1/events", params={"after": begin, "limit": 3}).json()
        assert [event["number"] for event in replay["data"]] == [begin + 1, begin + 2, begin + 3]
        rest = http.get("/v1/events", params={"cursor": replay["next"]}).json()
        assert ([event["number"] for event in rest["data"]], rest["next"]) == ([begin + 4, begin + 5], None)
    assert_books_are_clean()


def test_a_jobs_stream_begins_with_the_job_and_ends_with_it(running: System) -> None:
    who = account(amount=20)
    slow = {"pending": True, "ready_seconds": 4, "poll_after_seconds": 0.3}
    model("slow", options=slow)
    with running.client(who) as http:
        eventually(lambda: http.get("/v1/models/slow").status_code == 200, what="the model")
        other = http.post("/v1/jobs", json={"model": "sketch-image", "input": {"prompt": "x"}}).json()
        job = http.post("/v1/jobs", json={"model": "slow", "input": {}}).json()
        url = f"{running.url}/v1/jobs/{job['id']}/events"
        with Listening(url, headers_of(who)) as heard:
            assert heard.over.wait(15), "the stream did not end with its job"
        kinds = [kind for kind in heard.kinds() if kind not in {"job.running", "job.progress"}]
        assert kinds == ["job", "job.output", "job.succeeded"]
        assert "job.progress" in heard.kinds()
        # It ended cleanly; connecting again, as a browser does, it was told that there is nothing more.
        assert (heard.clean_ends, heard.statuses) == (1, [200, 204])
        assert {str(frame["job_id"]) for frame in heard.frames[1:]} == {job["id"]}
        with Listening(url, headers_of(who), after=heard.numbers()[0], again=False) as again:
            assert again.over.wait(5)
        assert again.kinds() == ["job.succeeded"]
        with Listening(url, headers_of(who), again=False) as late:
            assert late.over.wait(5)
        assert late.kinds() == ["job"]
        assert late.frames[0]["data"]["status"] == "succeeded"
        ended(http, other["id"])


def test_nobody_hears_or_sees_anothers_events(running: System) -> None:
    mine, theirs = account(amount=20), account(amount=20)
    with running.client(mine) as http, running.client(theirs) as other:
        job = http.post("/v1/jobs", json={"model": "sketch-image", "input": {"prompt": "x"}}).json()
        stream = {"accept": "text/event-stream"}
        answer = other.get(f"/v1/jobs/{job['id']}/events", headers=stream)
        assert (answer.status_code, answer.json()["code"]) == (404, "not_found")
        assert other.get("/v1/jobs/no-id/events", headers=stream).status_code == 404
        with Listening(f"{running.url}/v1/events", headers_of(theirs)) as heard:
            http.post("/v1/jobs", json={"model": "sketch-image", "input": {"prompt": "y"}})
            eventually(lambda: current(mine) >= 7, what="the end of my jobs")
            with transaction() as conn:
                ledger.grant(conn, theirs, kind="gift", amount=1, ref="theirs")
            eventually(lambda: "credits.granted" in heard.kinds(), what="their grant")
        assert heard.kinds() == ["balance", "credits.granted"]
        assert other.get("/v1/credits").json()["event_number"] == current(theirs)
        assert other.get("/v1/events").json()["data"][-1]["number"] == current(theirs)


def test_a_stream_token_opens_streams_and_nothing_else(running: System) -> None:
    who = account(amount=20)
    with running.client(who) as http:
        token = http.post("/v1/events/token").json()["token"]
        job = http.post("/v1/jobs", json={"model": "sketch-image", "input": {"prompt": "x"}}).json()
    for path in ("/v1/events", f"/v1/jobs/{job['id']}/events"):
        with Listening(f"{running.url}{path}?token={token}", {}, again=False) as heard:
            eventually(lambda heard=heard: bool(heard.frames), what="the first frame")
    with httpx.Client(base_url=running.url, params={"token": token}) as nobody:
        for path in ("/v1/events", "/v1/jobs", f"/v1/jobs/{job['id']}", "/v1/credits"):
            assert nobody.get(path).status_code == 401, path
    stream = {"accept": "text/event-stream"}
    for wrong in (almost(token), token[:20], "é", ""):
        assert httpx.get(f"{running.url}/v1/events", params={"token": wrong}, headers=stream).status_code == 401


def test_an_expired_token_opens_nothing_and_a_revoked_key_closes_its_streams(system: System) -> None:
    system.start("api", api={"STREAM_TOKEN_SECONDS": "5"})
    who = account()
    with system.client(who) as http:
        token = http.post("/v1/events/token").json()["token"]
        with Listening(f"{system.url}/v1/events?token={token}", {}, silence=15) as heard:
            stream, address = {"accept": "text/event-stream"}, f"{system.url}/v1/events?token={token}"

            def is_old() -> bool:
                with httpx.stream("GET", address, headers=stream) as answer:
                    return answer.status_code == 401

            eventually(is_old, what="the end of the token's time")
            assert heard.connects == 1  # a stream that is open stays open
            with transaction() as conn:
                conn.execute("update api_keys set revoked_at = app_now() where account_id = %s", [who])
            assert heard.over.wait(10), "the stream outlives its key"


def test_too_many_streams_are_refused_and_one_may_come_when_one_goes(system: System) -> None:
    system.start("api", api={"LISTENERS_PER_ACCOUNT": "3", "HEARTBEAT_SECONDS": "1"})
    who = account()
    headers, url = headers_of(who), f"{system.url}/v1/events"
    listening = [Listening(url, headers) for _ in range(3)]
    for each in listening:
        each.__enter__()
    refused = httpx.get(url, headers={**headers, "accept": "text/event-stream"})
    assert (refused.status_code, refused.json()["code"], refused.json()["limit"]) == (429, "too_many_listeners", 3)
    assert refused.headers["retry-after"] == "1"
    with Listening(url, headers_of(account())):
        pass  # another account has its own
    listening[0].__exit__(None, None, None)

    def fits() -> bool:
        with httpx.stream("GET", url, headers={**headers, "accept": "text/event-stream"}) as answer:
            return answer.status_code == 200

    eventually(fits, what="room for another")
    for each in listening[1:]:
        each.__exit__(None, None, None)


def test_what_is_not_kept_any_more_is_answered_with_a_reset(running: System) -> None:
    who = account(amount=50)
    for number in range(5):
        with transaction() as conn:
            ledger.grant(conn, who, kind="gift", amount=1, ref=f"gift {number}")
    newest = current(who)
    with transaction() as conn:
        conn.execute("delete from events where account_id = %s and number <= 3", [who])
    with running.client(who) as http:
        old = http.get("/v1/events", params={"after": 1}).json()
        assert [(event["type"], event["number"]) for event in old["data"]] == [("reset", newest)]
        assert old["next"] is None
        kept = http.get("/v1/events", params={"after": 3}).json()
        assert [event["number"] for event in kept["data"]] == list(range(4, newest + 1))
        assert http.get("/v1/events", params={"after": newest + 5}).json()["data"][0]["type"] == "reset"
        assert http.get("/v1/events", params={"after": "x"}).status_code == 400
    with Listening(f"{running.url}/v1/events", headers_of(who), after=1) as heard:
        eventually(lambda: bool(heard.frames), what="the reset")
        with transaction() as conn:
            ledger.grant(conn, who, kind="gift", amount=1, ref="after")
        eventually(lambda: len(heard.frames) == 2, what="what comes after")
    assert [(frame["event"], int(frame["id"])) for frame in heard.frames] == [
        ("reset", newest),
        ("credits.granted", newest + 1),
    ]


def test_the_stream_of_a_job_whose_end_is_not_kept_any_more_begins_anew_and_ends(running: System) -> None:
    who = account(amount=20)
    with running.client(who) as http:
        job_id = http.post("/v1/jobs", json={"model": "sketch-image", "input": {"prompt": "a lake"}}).json()["id"]
        ended(http, job_id)
    with transaction() as conn:
        ledger.grant(conn, who, kind="gift", amount=1, ref="after")
    newest = current(who)
    with transaction() as conn:
        conn.execute("delete from events where account_id = %s and number < %s", [who, newest])
    with Listening(f"{running.url}/v1/jobs/{job_id}/events", headers_of(who), after=2) as heard:
        eventually(heard.over.is_set, what="the end of the stream")
    assert (heard.kinds(), heard.statuses) == (["reset", "job"], [200, 204])
    assert heard.frames[1]["data"]["status"] == "succeeded"


def test_prefer_wait_answers_when_the_job_has_ended_or_the_time_is_over(running: System) -> None:
    who = account(amount=20)
    model("slow", options={"pending": True, "ready_seconds": 2, "poll_after_seconds": 0.2})
    with running.client(who) as http:
        eventually(lambda: http.get("/v1/models/slow").status_code == 200, what="the model")
        quick = {"model": "sketch-image", "input": {"prompt": "x"}}
        done = http.post("/v1/jobs", json=quick, headers={"prefer": "wait=20"})
        assert (done.status_code, done.json()["status"]) == (201, "succeeded")
        assert done.headers["preference-applied"] == "wait=20"
        begun = time.monotonic()
        soon = http.post("/v1/jobs", json={"model": "slow", "input": {}}, headers={"prefer": "respond-async, wait=1"})
        assert time.monotonic() - begun > 0.9
        assert soon.json()["status"] in {"queued", "running"}
        assert soon.headers["preference-applied"] == "wait=1"
        path = f"/v1/jobs/{soon.json()['id']}"
        late = http.get(path, headers={"prefer": "wait=600"})
        assert (late.json()["status"], late.headers["preference-applied"]) == ("succeeded", "wait=55")
        assert "preference-applied" not in http.get(path).headers
        assert "preference-applied" not in http.get(path, headers={"prefer": "wait=soon"}).headers


def test_many_waits_hold_no_thread(system: System) -> None:
    system.start("api")
    who = account(amount=200)
    with system.client(who) as http:
        job = http.post("/v1/jobs", json={"model": "sketch-image", "input": {"prompt": "x"}}).json()
        place = f"/proc/{system.processes.pid('api')}"
        threads, files = len(os.listdir(f"{place}/task")), len(os.listdir(f"{place}/fd"))
        wait = {"prefer": "wait=50", **headers_of(who)}
        with ThreadPoolExecutor(60) as pool:
            waits = [
                pool.submit(httpx.get, f"{system.url}/v1/jobs/{job['id']}", headers=wait, timeout=60) for _ in range(60)
            ]
            eventually(lambda: len(os.listdir(f"{place}/fd")) >= files + 60, what="a connection of each wait")
            assert http.get("/v1/credits").status_code == 200
            assert not any(each.done() for each in waits)
            assert len(os.listdir(f"{place}/task")) < threads + 20  # readers of their own kinds, not one per wait
            http.post(f"/v1/jobs/{job['id']}/cancel")
            assert {each.result().json()["status"] for each in waits} == {"canceled"}


def test_a_status_stream_tells_what_began_without_a_word(system: System) -> None:
    """What begins a job here says nothing on the live channel: fal's stream sees it at the next look at what is kept."""
    system.start("api", api={"HEARTBEAT_SECONDS": "600"})  # at each heartbeat it looks as well
    who = account(amount=20)
    asked = {"authorization": f"Key {key_of(who)}"}
    told = httpx.post(f"{system.url}/compat/fal/queue/sketch-image", headers=asked, json={"prompt": "a lake"}).json()
    with httpx.stream("GET", told["status_url"] + "/stream", headers=asked, timeout=60) as answer:
        stands = (json.loads(line[5:])["status"] for line in answer.iter_lines() if line.startswith("data:"))
        assert next(stands) == "IN_QUEUE"
        claim = claimed(UUID(told["request_id"]))
        assert next(stands) == "IN_PROGRESS"
        with transaction() as conn:
            assert end(conn, who, claim.job_id, Ending("failed", error_code="x"), token=claim.token)
        assert list(stands) == ["COMPLETED"]
