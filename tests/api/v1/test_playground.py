"""Playground sessions over HTTP: saved, run, listed, shared, changed, deleted; whose they are; how many a day."""

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from unittest.mock import patch
from uuid import UUID

import pytest
from fastapi.testclient import TestClient
from hypothesis import given
from hypothesis import strategies as st
from uuid_utils.compat import uuid7

from api import keeping
from api.main import make_app
from common.errors import NotFound
from common.rest import Rest
from models.access import api_keys
from models.db import transaction
from models.playground import kept
from models.playground.sessions import MADE_TITLE_CHARACTERS, title_of
from scheduler.duties import texts
from storage import s3
from storage.s3 import StorageError
from tests.support import account, assert_books_are_clean, balance, key_of, model, rows
from tests.workers.steps.worker import worker

pytestmark = pytest.mark.usefixtures("database")

SESSIONS = "/v1/playground/sessions"
TEXT = {
    "kind": "text",
    "price": {"unit": "token", "credits": 1, "per": 1000},
    "input_schema": {
        "type": "object", "additionalProperties": False, "required": ["prompt"],
        "properties": {"prompt": {"type": "string", "maxLength": 20_000}},
    },
}  # fmt: skip
ROUTE = {"provider": "sketch", "model": "text"}
# What a page would do something with, if it were HTML, and what has broken others' lists.
INJECTED = [
    "<script>alert(1)</script>", "\"><img src=x onerror=alert(1)>", "'; drop table playground_sessions; --", "{{7*7}} ${7*7}",
    "javascript:alert(1)", "\u202eevil\u202c", "مرحبا بالعالم", "שלום עולם", "😀👩‍👩‍👧‍👦🏳️‍🌈", "a\r\nSet-Cookie: x=y", "</textarea><svg/onload=alert(1)>",
    "%00%s%n", "../../etc/passwd", "\ufeffbom", "`id`",
]  # fmt: skip


@pytest.fixture
def http() -> Iterator[TestClient]:
    model("writer", routes=[ROUTE], **TEXT)
    model("picture")
    model("broken", routes=[{**ROUTE, "options": {"fail": "permanent"}}], **TEXT)
    model(
        "broken-paid",
        routes=[{**ROUTE, "options": {"fail": "permanent", "charge_on_failure": True, "cost_usd_micros": 5}}],
        **TEXT,
    )
    with TestClient(make_app()) as client, patch.object(keeping, "_rest", Rest(5.0)):
        yield client


@pytest.fixture
def who() -> UUID:
    return account(amount=100, plan="pro")


def head(who: UUID, **more: str) -> dict[str, str]:
    return {"authorization": f"Bearer {key_of(who)}", **more}


def work(*jobs: str) -> None:
    """Have these jobs done, step by step."""
    with worker() as advance:
        for job_id in jobs:
            advance(UUID(job_id))


def run(http: TestClient, mine: dict[str, str], prompt: str = "What is a mill race?", **more: Any) -> dict[str, Any]:
    """A session whose job was ordered."""
    answer = http.post(SESSIONS, json={"model": "writer", "prompt": prompt, **more}, headers=mine)
    assert answer.status_code == 201, answer.text
    made: dict[str, Any] = answer.json()
    return made


def get(http: TestClient, mine: dict[str, str], session_id: str) -> dict[str, Any]:
    answer = http.get(f"{SESSIONS}/{session_id}", headers=mine)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def test_a_prompt_is_run_and_the_session_has_the_response_when_its_job_has_ended(http: TestClient, who: UUID) -> None:
    mine = head(who)
    answer = http.post(SESSIONS, json={"model": "writer", "prompt": "What is a mill race?"}, headers=mine)
    assert answer.status_code == 201, answer.text
    made = answer.json()
    assert answer.headers["location"] == f"{SESSIONS}/{made['id']}"
    assert (made["status"], made["response"], made["credits"], made["title"]) == (
        "queued",
        None,
        None,
        "What is a mill race?",
    )
    assert (made["public"], made["mine"], made["prompt"]) == (False, True, "What is a mill race?")
    work(made["job"])
    found = get(http, mine, made["id"])
    assert (found["status"], found["credits"], found["model"], found["truncated"]) == ("succeeded", 1, "writer", False)
    assert "race" in found["response"]
    assert found["tokens"] == {"input": 6, "output": found["tokens"]["output"]}
    assert found["tokens"]["output"] > 20
    assert balance(who) == (99, 0)
    assert_books_are_clean()


def test_the_response_outlives_its_result(http: TestClient, who: UUID) -> None:
    """Nobody looks at it before the result expires: the duty has kept it."""
    mine = head(who)
    made = run(http, mine)
    work(made["job"])
    assert texts.keep_texts(10) == 1
    assert texts.keep_texts(10) == 0
    with transaction() as conn:
        conn.execute("update assets set status = 'expired', expired_at = app_now()")
    assert "race" in get(http, mine, made["id"])["response"]


def test_what_s3_does_not_give_now_is_kept_later(http: TestClient, who: UUID) -> None:
    mine = head(who)
    made = run(http, mine)
    work(made["job"])
    away = StorageError("S3 is away", retryable=True)
    with patch.object(s3.Storage, "get_range", side_effect=away) as asked:
        assert (get(http, mine, made["id"])["response"], get(http, mine, made["id"])["status"]) == (None, "succeeded")
        assert asked.call_count == 1, "who looks in the next seconds waits for S3 as well"
        assert (texts.keep_texts(10), texts.keep_texts(10).errors) == (0, ())  # tried, and then left alone for a while
    with patch.object(keeping, "_rest", Rest(5.0)):  # seconds later
        assert "race" in get(http, mine, made["id"])["response"]


def test_an_object_that_s3_refuses_makes_nobody_else_wait(http: TestClient, who: UUID) -> None:
    mine = head(who)
    refused, other = run(http, mine), run(http, mine, "What is a weir?")
    work(refused["job"], other["job"])
    no = StorageError("S3 answered 403", retryable=False, code="AccessDenied")
    with patch.object(s3.Storage, "get_range", side_effect=no):
        assert get(http, mine, refused["id"])["response"] is None
    assert "weir" in get(http, mine, other["id"])["response"]


def test_a_change_shows_the_text_that_is_there_by_now(http: TestClient, who: UUID) -> None:
    mine = head(who)
    made = run(http, mine)
    work(made["job"])
    changed = http.patch(f"{SESSIONS}/{made['id']}", json={"title": "Races"}, headers=mine).json()
    assert (changed["title"], "race" in changed["response"]) == ("Races", True)


def test_a_response_that_has_expired_unseen_is_null_and_is_not_looked_for_for_ever(http: TestClient, who: UUID) -> None:
    mine = head(who)
    made = run(http, mine)
    work(made["job"])
    with transaction() as conn:
        conn.execute("update assets set status = 'expired', expired_at = app_now()")
    assert (get(http, mine, made["id"])["response"], get(http, mine, made["id"])["status"]) == (None, "succeeded")
    assert rows("select state from kept_texts") == [("none",)]
    assert texts.keep_texts(10) == 0


def test_a_longer_response_is_cut_at_a_whole_character_and_says_so(http: TestClient, who: UUID) -> None:
    mine = head(who)
    made = run(http, mine, "😀 " * 500)
    work(made["job"])
    with patch.object(kept, "MAX_KEPT_BYTES", 41):
        found = get(http, mine, made["id"])
    assert found["truncated"]
    assert 0 < len(found["response"].encode()) <= 41


def test_a_finished_text_of_ones_own_is_saved_once(http: TestClient, who: UUID) -> None:
    mine = head(who)
    job = http.post(
        "/v1/jobs", json={"model": "writer", "input": {"prompt": "Tell me of weirs."}}, headers=mine
    ).json()["id"]
    early = http.post(SESSIONS, json={"job": job}, headers=mine)
    assert (early.status_code, early.json()["code"], early.json()["param"]) == (400, "job_not_ended", "job")
    work(job)
    saved = http.post(SESSIONS, json={"job": job, "title": "Weirs", "explanation": "why", "public": True}, headers=mine)
    assert saved.status_code == 201, saved.text
    assert (saved.json()["title"], saved.json()["explanation"], saved.json()["public"]) == ("Weirs", "why", True)
    assert "weirs" in saved.json()["response"]
    again = http.post(SESSIONS, json={"job": job}, headers=mine)
    assert (again.json(), again.headers["idempotent-replayed"]) == (saved.json(), "true")
    with ThreadPoolExecutor(8) as pool:
        ids = {
            each.json()["id"]
            for each in pool.map(lambda _: http.post(SESSIONS, json={"job": job}, headers=mine), range(8))
        }
    assert ids == {saved.json()["id"]}


def test_a_text_that_is_not_kept_any_more_is_not_saved_and_what_was_saved_before_stays(
    http: TestClient, who: UUID
) -> None:
    mine = head(who)
    jobs = [
        http.post("/v1/jobs", json={"model": "writer", "input": {"prompt": f"weir {n}"}}, headers=mine).json()["id"]
        for n in range(2)
    ]
    work(*jobs)
    saved = http.post(SESSIONS, json={"job": jobs[0]}, headers=mine).json()
    with transaction() as conn:
        conn.execute("update assets set status = 'expired', expired_at = app_now()")
    again = http.post(SESSIONS, json={"job": jobs[0]}, headers=mine)
    assert (again.status_code, again.json()["id"], again.json()["response"]) == (201, saved["id"], saved["response"])
    gone = http.post(SESSIONS, json={"job": jobs[1]}, headers=mine)
    assert (gone.status_code, gone.json()["code"], gone.json()["param"]) == (410, "result_gone", "job")
    assert rows("select count(*) from playground_sessions") == rows("select count(*) from kept_texts") == [(1,)]


def test_what_is_no_text_of_ones_own_is_not_saved(http: TestClient, who: UUID) -> None:
    mine, theirs = head(who), head(account(amount=5, plan="pro"))
    picture = http.post("/v1/jobs", json={"model": "picture", "input": {}}, headers=mine).json()["id"]
    broken = http.post("/v1/jobs", json={"model": "broken", "input": {"prompt": "x"}}, headers=mine).json()["id"]
    good = http.post("/v1/jobs", json={"model": "writer", "input": {"prompt": "x"}}, headers=mine).json()["id"]
    work(picture, broken, good)
    for body, status, param, auth in (
        ({"job": picture}, 422, "job", mine), ({"job": broken}, 422, "job", mine), ({"job": good}, 404, "job", theirs),
        ({"job": str(uuid7())}, 404, "job", mine), ({"job": "x"}, 422, "job", mine), ({}, 422, None, mine),
        ({"model": "writer"}, 422, None, mine), ({"job": good, "model": "writer", "prompt": "x"}, 422, None, mine),
        ({"model": "picture", "prompt": "x"}, 422, "model", mine), ({"model": "none", "prompt": "x"}, 404, "model", mine),
        ({"model": "writer", "prompt": ""}, 422, "prompt", mine), ({"model": "writer", "prompt": 1}, 422, "prompt", mine),
        ({"model": "writer", "prompt": "x", "title": "x" * 10_000}, 422, "title", mine),
        ({"model": "writer", "prompt": "x", "title": "  "}, 422, "title", mine),
        ({"model": "writer", "prompt": "x", "explanation": "x" * 10_001}, 422, "explanation", mine),
        ({"model": "writer", "prompt": "x", "public": "yes"}, 422, "public", mine),
        ({"model": "writer", "prompt": "x" * 20_001}, 422, "input.prompt", mine),
        ({"model": "writer", "prompt": "x", "title": "a\x00b"}, 422, "body", mine),
    ):  # fmt: skip
        answer = http.post(SESSIONS, json=body, headers=auth)
        assert answer.status_code == status, (body, answer.text)
        assert param is None or answer.json()["param"] == param, (body, answer.text)
    long = http.post(SESSIONS, json={"model": "writer", "prompt": "x", "title": "x" * 10_000}, headers=mine).json()[
        "detail"
    ]
    assert "200" in long
    assert rows("select count(*) from playground_sessions") == [(0,)]
    assert_books_are_clean()


def test_an_order_that_is_refused_leaves_nothing(http: TestClient) -> None:
    poor = account(plan="pro")
    answer = http.post(SESSIONS, json={"model": "writer", "prompt": "x"}, headers=head(poor))
    assert (answer.status_code, answer.json()["code"]) == (402, "not_enough_credits")
    assert rows("select count(*) from jobs") == rows("select count(*) from kept_texts") == [(0,)]


def test_the_same_request_is_one_job_and_one_session(http: TestClient, who: UUID) -> None:
    mine = head(who, **{"idempotency-key": "a"})
    first = run(http, mine)
    again = http.post(SESSIONS, json={"model": "writer", "prompt": "What is a mill race?"}, headers=mine)
    assert (again.json()["id"], again.headers["idempotent-replayed"]) == (first["id"], "true")
    other = http.post(SESSIONS, json={"model": "writer", "prompt": "Another."}, headers=mine)
    assert (other.status_code, other.json()["code"]) == (422, "idempotency_mismatch")
    assert rows("select count(*) from jobs") == [(1,)]
    # What it names may be gone since; it was taken.
    with patch("api.v1.playground.scopes.check_model", side_effect=NotFound("there is no such model", param="model")):
        again = http.post(SESSIONS, json={"model": "writer", "prompt": "What is a mill race?"}, headers=mine)
        assert (again.json()["id"], again.headers["idempotent-replayed"]) == (first["id"], "true")
        for auth in (head(who), head(who, **{"idempotency-key": "b"}), head(account(), **{"idempotency-key": "a"})):
            asked = http.post(SESSIONS, json={"model": "writer", "prompt": "What is a mill race?"}, headers=auth)
            assert (asked.status_code, asked.json()["param"]) == (404, "model")
    # And a session that was deleted does not come back.
    assert http.delete(f"{SESSIONS}/{first['id']}", headers=mine).status_code == 204
    late = http.post(SESSIONS, json={"model": "writer", "prompt": "What is a mill race?"}, headers=mine)
    assert (late.status_code, late.json()["param"]) == (404, "Idempotency-Key")
    assert rows("select count(*) from playground_sessions") == [(0,)]


def test_a_failed_job_is_refunded_and_its_session_says_why(http: TestClient, who: UUID) -> None:
    mine = head(who)
    answer = http.post(SESSIONS, json={"model": "broken", "prompt": "x"}, headers=mine)
    work(answer.json()["job"])
    found = get(http, mine, answer.json()["id"])
    assert (found["status"], found["response"], found["credits"]) == ("failed", None, 0)
    assert found["error"]["code"]
    assert balance(who) == (100, 0)
    assert rows("select state from kept_texts") == [("none",)]
    assert_books_are_clean()


def test_sessions_are_listed_newest_first_without_their_texts(http: TestClient, who: UUID) -> None:
    mine = head(who)
    made = [run(http, mine, f"Prompt {number}")["id"] for number in range(5)]
    found, cursor = list[str](), None
    while True:
        page = http.get(SESSIONS, params={"limit": 2, **({"cursor": cursor} if cursor else {})}, headers=mine).json()
        assert not any("response" in each or "prompt" in each for each in page["data"])
        found += [each["id"] for each in page["data"]]
        cursor = page["next"]
        if cursor is None:
            break
    assert found == made[::-1]
    assert http.get(SESSIONS, headers=head(account())).json()["data"] == []


def test_a_private_session_is_nobody_elses_and_a_public_one_is_read_by_all_who_are_signed_in(
    http: TestClient, who: UUID
) -> None:
    mine, theirs = head(who), head(account())
    made = run(http, mine)
    work(made["job"])
    place = f"{SESSIONS}/{made['id']}"
    assert http.get(place).status_code == 401
    assert http.get(place, headers=theirs).status_code == 404
    published = http.patch(place, json={"public": True}, headers=mine)
    assert (published.status_code, published.json()["public"]) == (200, True)
    seen = http.get(place, headers=theirs)
    assert (seen.status_code, seen.json()["mine"], seen.json()["job"]) == (200, False, None)
    assert seen.json()["response"] == get(http, mine, made["id"])["response"]
    assert not {"account_id", "user_id"} & set(seen.json())
    for change in ({"title": "Mine now"}, {"public": False}, {"explanation": "x"}):
        assert http.patch(place, json=change, headers=theirs).status_code == 404
    assert http.delete(place, headers=theirs).status_code == 404
    assert http.get(place).status_code == 401
    assert http.patch(place, json={"public": False}, headers=mine).status_code == 200
    assert http.get(place, headers=theirs).status_code == 404


@pytest.mark.parametrize("what", ["banned = true", "deleted_at = app_now()"])
def test_what_somebody_published_who_is_gone_is_read_by_nobody(http: TestClient, who: UUID, what: str) -> None:
    made = run(http, head(who), public=True)
    place, theirs = f"{SESSIONS}/{made['id']}", head(account())
    assert http.get(place, headers=theirs).status_code == 200
    with transaction() as conn:
        conn.execute(f"update users set {what} where id = (select user_id from accounts where id = %s)", [who])
    assert http.get(place, headers=theirs).status_code == 404


def test_a_session_is_renamed_explained_and_deleted(http: TestClient, who: UUID) -> None:
    mine = head(who)
    made = run(http, mine, explanation="first")
    work(made["job"])
    place = f"{SESSIONS}/{made['id']}"
    changed = http.patch(place, json={"title": "Another name"}, headers=mine).json()
    assert (changed["title"], changed["explanation"]) == ("Another name", "first")
    assert changed["updated_at"] > changed["created_at"]
    assert http.patch(place, json={"explanation": None}, headers=mine).json()["explanation"] is None
    assert http.patch(place, json={}, headers=mine).json()["title"] == "Another name"
    for wrong in ({"title": ""}, {"title": "x" * 201}, {"public": 1}, {"job": None}, {"explanation": 5}):
        assert http.patch(place, json=wrong, headers=mine).status_code == 422, wrong
    assert get(http, mine, made["id"])["response"]
    assert http.delete(place, headers=mine).status_code == 204
    assert http.get(place, headers=mine).status_code == http.delete(place, headers=mine).status_code == 404
    assert rows("select count(*) from kept_texts") == [(0,)]
    assert http.get(f"/v1/jobs/{made['job']}", headers=mine).json()["status"] == "succeeded"
    assert_books_are_clean()


def test_each_route_wants_its_scope(http: TestClient, who: UUID) -> None:
    made = run(http, head(who))
    place = f"{SESSIONS}/{made['id']}"
    for scope, method, path, body in (
        ("generate", "POST", SESSIONS, {"model": "writer", "prompt": "x"}), ("read", "GET", SESSIONS, None),
        ("read", "GET", place, None), ("write", "PATCH", place, {"title": "x"}), ("delete", "DELETE", place, None),
    ):  # fmt: skip
        with transaction() as conn:
            others = tuple(each for each in ("generate", "read", "write", "delete") if each != scope)
            less = api_keys.create(conn, who, api_keys.NewKey("less", scopes=others))[1]
            just = api_keys.create(conn, who, api_keys.NewKey("just", scopes=(scope,)))[1]
        assert http.request(method, path, json=body).status_code == 401
        refused = http.request(method, path, json=body, headers={"authorization": f"Bearer {less}"})
        assert (refused.status_code, refused.json()["needed"]) == (403, scope)
        assert http.request(method, path, json=body, headers={"authorization": f"Bearer {just}"}).is_success


def test_a_key_for_other_models_runs_none(http: TestClient, who: UUID) -> None:
    with transaction() as conn:
        secret = api_keys.create(conn, who, api_keys.NewKey("one", models=("picture",)))[1]
    answer = http.post(SESSIONS, json={"model": "writer", "prompt": "x"}, headers={"authorization": f"Bearer {secret}"})
    assert (answer.status_code, answer.json()["param"]) == (403, "model")


@pytest.mark.parametrize("evil", INJECTED)
def test_what_is_stored_comes_back_as_json_letter_by_letter(http: TestClient, who: UUID, evil: str) -> None:
    mine = head(who)
    made = run(http, mine, evil, title=evil, explanation=evil, public=True)
    work(made["job"])
    for answer in (http.get(f"{SESSIONS}/{made['id']}", headers=mine), http.get(SESSIONS, headers=mine)):
        assert answer.headers["content-type"] == "application/json"
        assert answer.headers["x-content-type-options"] == "nosniff"
        found = answer.json() if "id" in answer.json() else answer.json()["data"][0]
        assert found["title"] == evil
    whole = get(http, mine, made["id"])
    assert (whole["prompt"], whole["explanation"], whole["status"]) == (evil, evil, "succeeded")
    file = http.get(
        http.get(f"/v1/jobs/{made['job']}", headers=mine).json()["outputs"][0]["url"], follow_redirects=True
    )
    assert file.headers["content-type"].startswith("text/plain")


# How many a day


def free(amount: int = 50) -> UUID:
    return account(amount=amount, plan="free")


def test_free_users_have_five_a_day_from_midnight_to_midnight(http: TestClient) -> None:
    mine = head(free())
    for number in range(4):
        run(http, mine, f"Prompt {number}")
    assert http.post("/v1/jobs", json={"model": "writer", "input": {"prompt": "x"}}, headers=mine).status_code == 201
    sixth = http.post(SESSIONS, json={"model": "writer", "prompt": "x"}, headers=mine)
    assert (sixth.status_code, sixth.json()["code"], sixth.json()["limit"]) == (403, "daily_limit_reached", 5)
    picture = http.post("/v1/jobs", json={"model": "picture", "input": {}}, headers=mine)
    assert picture.status_code == 201  # of texts alone
    pro = head(account(amount=50, plan="pro"))
    for number in range(7):
        run(http, pro, f"Prompt {number}")


def test_of_fifty_at_once_five_are_taken(http: TestClient) -> None:
    who = free()
    mine, gate = head(who), threading.Barrier(50)

    def one_of_many(number: int) -> int:
        gate.wait()
        return http.post(SESSIONS, json={"model": "writer", "prompt": f"Prompt {number}"}, headers=mine).status_code

    with ThreadPoolExecutor(50) as pool:
        answers = sorted(pool.map(one_of_many, range(50)))
    assert answers.count(201) == 5, answers
    assert set(answers) <= {201, 403, 503}
    assert rows("select count(*) from jobs") == rows("select count(*) from playground_sessions") == [(5,)]
    assert balance(who) == (45, 5)
    assert_books_are_clean()


def test_a_turn_comes_back_where_the_job_failed_and_nobody_was_paid(http: TestClient) -> None:
    who = free()
    mine = head(who)
    for _ in range(6):
        answer = http.post(SESSIONS, json={"model": "broken", "prompt": "x"}, headers=mine)
        assert answer.status_code == 201, answer.text
        work(answer.json()["job"])
    for number in range(5):
        run(http, mine, f"Prompt {number}")
    assert http.post(SESSIONS, json={"model": "writer", "prompt": "x"}, headers=mine).status_code == 403
    assert_books_are_clean()


def test_a_failure_that_cost_the_house_and_a_cancel_keep_their_turns(http: TestClient) -> None:
    mine = head(free())
    for _ in range(3):
        job = http.post(SESSIONS, json={"model": "broken-paid", "prompt": "x"}, headers=mine).json()["job"]
        work(job)
    assert rows("select charged from attempts") == [(True,)] * 3
    for _ in range(2):
        job = run(http, mine)["job"]
        assert http.post(f"/v1/jobs/{job}/cancel", headers=mine).json()["status"] == "canceled"
    assert http.post(SESSIONS, json={"model": "writer", "prompt": "x"}, headers=mine).status_code == 403


# Titles


@given(st.text(max_size=400))
def test_a_title_is_one_line_of_the_prompt_and_never_too_long(prompt: str) -> None:
    made = title_of(prompt)
    assert 1 <= len(made) <= MADE_TITLE_CHARACTERS
    assert made == made.strip()
    assert "\n" not in made


def test_titles_are_cut_at_words() -> None:
    assert title_of("\n\n  What   is\ta mill? \nMore.") == "What is a mill?"
    assert title_of("word " * 40) == "word " * 15 + "word…"[:5] or title_of("word " * 40).endswith("word…")
    assert title_of("x" * 300) == "x" * 79 + "…"
    assert title_of("   ") == title_of(None) == "Untitled"
