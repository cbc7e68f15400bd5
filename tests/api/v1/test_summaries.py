"""Summaries over HTTP: who may, what they are made of, who pays, and that nothing of them is half-done."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from unittest.mock import patch
from uuid import UUID, uuid4

import pytest
from fastapi.testclient import TestClient

from api.main import make_app
from common.errors import NotFound
from models.access import api_keys
from models.access.scopes import Scope
from models.db import transaction
from models.playground.summaries import TEXT_CHARACTERS
from scheduler.duties import texts
from tests.conftest import environment
from tests.support import account, assert_books_are_clean, balance, key_of, model, one, rows
from tests.workers.steps.worker import worker

pytestmark = pytest.mark.usefixtures("database")

SUMMARIES = "/v1/summaries"
PAPER = (
    "We study how water wheels lose power when their troughs fill with silt. Twelve wheels in four valleys were measured "
    "for two years. Each wheel was stopped once a month and its troughs were weighed. Silt took a tenth of the power in the "
    "first year. In the second year it took a quarter of the power of the wheels. Wheels with a grate in the head race lost "
    "almost nothing. The lunches of the crew were excellent. These results imply that a grate pays for itself in practice "
    "within one year. Further research should ask how fine the grate of a wheel ought to be. We thank the millers."
)
SCHEMA = {
    "type": "object", "additionalProperties": False, "required": ["prompt"],
    "properties": {"prompt": {"type": "string"}, "system": {"type": "string"}},
}  # fmt: skip
TEXT: dict[str, Any] = {"kind": "text", "price": {"unit": "token", "credits": 1, "per": 50, "estimate_field": "prompt"}}
ROUTE = {"provider": "sketch", "model": "text"}


@pytest.fixture
def house() -> UUID:
    return account(amount=5000, plan="enterprise")


@pytest.fixture
def http(house: UUID) -> Iterator[TestClient]:
    model("writer", routes=[ROUTE], input_schema=SCHEMA, **TEXT)
    model("picture")
    with environment({"HOUSE_ACCOUNT": str(house), "SUMMARY_MODEL": "writer"}), TestClient(make_app()) as client:
        yield client


@pytest.fixture
def editor() -> dict[str, str]:
    return head_of(account(), role="editor", scopes=("edit",))


def head_of(who: UUID, *, role: str, scopes: tuple[Scope, ...], **more: str) -> dict[str, str]:
    with transaction() as conn:
        conn.execute("update users set role = %s where id = (select user_id from accounts where id = %s)", [role, who])
        secret = api_keys.create(conn, who, api_keys.NewKey("key", scopes=scopes))[1]
    return {"authorization": f"Bearer {secret}", **more}


def order(http: TestClient, editor: dict[str, str], **body: Any) -> dict[str, Any]:
    answer = http.post(SUMMARIES, json={"kind": "paper", "text": PAPER, **body}, headers=editor)
    assert answer.status_code == 201, answer.text
    made: dict[str, Any] = answer.json()
    return made


def work(*jobs: str) -> None:
    with worker() as advance:
        for job_id in jobs:
            advance(UUID(job_id))


def get(http: TestClient, editor: dict[str, str], summary_id: str) -> dict[str, Any]:
    answer = http.get(f"{SUMMARIES}/{summary_id}", headers=editor)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def test_a_paper_becomes_a_paragraph_and_its_implications_at_the_houses_cost(
    http: TestClient, editor: dict[str, str], house: UUID
) -> None:
    answer = http.post(SUMMARIES, json={"kind": "paper", "text": PAPER, "title": "Silt"}, headers=editor)
    assert answer.status_code == 201, answer.text
    made = answer.json()
    assert answer.headers["location"] == f"{SUMMARIES}/{made['id']}"
    assert (made["status"], made["paragraph"], made["implications"], len(made["jobs"])) == ("queued", None, None, 2)
    work(made["jobs"][0])
    half = get(http, editor, made["id"])
    assert (half["status"], half["paragraph"], half["implications"]) == ("running", None, None)
    work(made["jobs"][1])
    found = get(http, editor, made["id"])
    assert (found["status"], found["title"], found["error"]) == ("succeeded", "Silt", None)
    assert "power" in found["paragraph"]
    assert "These results imply" in found["implications"]
    assert found["paragraph"] != found["implications"]
    assert "lunches" not in found["paragraph"]
    for text in (found["paragraph"], found["implications"]):
        assert len(text) < len(PAPER) * 3 // 4
        assert all(sentence.strip() in PAPER for sentence in text.split(". ")), "more than the text says"
    charged = rows("select sum(charged_credits) from jobs")[0][0]
    assert (found["credits"], balance(house)) == (charged, (5000 - charged, 0))
    assert found["tokens"]["input"] > 250
    (act,) = rows("select action, subject, details->>'kind', actor from acts where action = 'summary.order'")
    assert act[:3] == ("summary.order", made["id"], "paper")
    assert act[3] == found["ordered_by"]
    assert_books_are_clean()


def test_an_article_becomes_one_paragraph(http: TestClient, editor: dict[str, str], house: UUID) -> None:
    made = order(http, editor, kind="article")
    assert len(made["jobs"]) == 1
    work(*made["jobs"])
    found = get(http, editor, made["id"])
    assert (found["status"], found["implications"]) == ("succeeded", None)
    assert found["paragraph"]
    (who,) = one("select account_id from jobs")
    assert who == house


def test_where_the_second_part_fails_the_summary_has_failed_and_the_books_say_what_it_cost(
    http: TestClient, editor: dict[str, str], house: UUID
) -> None:
    made = order(http, editor)
    work(made["jobs"][0])
    model("writer", routes=[{**ROUTE, "options": {"fail": "permanent"}}], input_schema=SCHEMA, **TEXT)
    with transaction() as conn:  # the second part meets a provider that fails
        conn.execute(
            "update jobs set model_version = (select max(version) from models where id = 'writer') where id = %s",
            [made["jobs"][1]],
        )
    work(made["jobs"][1])
    found = get(http, editor, made["id"])
    first = one("select charged_credits from jobs where id = %s", made["jobs"][0])[0]
    assert (found["status"], found["paragraph"], found["implications"]) == ("failed", None, None)
    assert found["error"]["part"] == "implications"
    assert found["error"]["code"]
    assert first > 0
    assert found["credits"] == first
    assert balance(house) == (5000 - first, 0)
    assert one("select charged_credits from jobs where id = %s", made["jobs"][1]) == (0,)
    assert_books_are_clean()


def test_a_house_without_credits_for_both_orders_none(http: TestClient, editor: dict[str, str], house: UUID) -> None:
    each = one("select ceil(%s / 50.0)::int", len(PAPER))[0]
    with transaction() as conn:
        conn.execute("update grants set remaining = %s, amount = %s where account_id = %s", [each + 1, each + 1, house])
        conn.execute("update accounts set available = %s where id = %s", [each + 1, house])
    answer = http.post(SUMMARIES, json={"kind": "paper", "text": PAPER}, headers=editor)
    assert (answer.status_code, answer.json()["code"]) == (402, "not_enough_credits")
    for table in ("jobs", "summaries", "kept_texts", "reservations"):
        assert rows(f"select count(*) from {table}") == [(0,)], table
    assert rows("select count(*) from acts where action = 'summary.order'") == [(0,)]
    assert balance(house) == (each + 1, 0)


def test_the_same_request_is_ordered_once_also_by_many_at_once(http: TestClient, editor: dict[str, str]) -> None:
    keyed = {**editor, "idempotency-key": "silt"}
    with ThreadPoolExecutor(6) as pool:
        ids = {each["id"] for each in pool.map(lambda _: order(http, keyed), range(6))}
    assert len(ids) == 1
    again = http.post(SUMMARIES, json={"kind": "paper", "text": PAPER}, headers=keyed)
    assert (again.json()["id"], again.headers["idempotent-replayed"]) == (ids.pop(), "true")
    with patch("api.v1.summaries.scopes.check_model", side_effect=NotFound("there is no such model", param="model")):
        late = http.post(SUMMARIES, json={"kind": "paper", "text": PAPER}, headers=keyed)  # what it names is gone since
        assert (late.json()["id"], late.headers["idempotent-replayed"]) == (again.json()["id"], "true")
        asked = http.post(SUMMARIES, json={"kind": "paper", "text": PAPER}, headers=editor)
        assert (asked.status_code, asked.json()["param"]) == (404, "model")
    other = http.post(SUMMARIES, json={"kind": "paper", "text": PAPER + " x"}, headers=keyed)
    assert (other.status_code, other.json()["code"]) == (422, "idempotency_mismatch")
    theirs = head_of(account(), role="editor", scopes=("edit",), **{"idempotency-key": "silt"})
    assert order(http, theirs)["id"] != again.json()["id"], "another editor's key is another key"
    assert rows("select count(*) from jobs") == [(4,)]


def test_only_who_edits_may(http: TestClient, editor: dict[str, str]) -> None:
    made = order(http, editor)
    place = f"{SUMMARIES}/{made['id']}"
    all_: tuple[Scope, ...] = ("generate", "read", "write", "delete")
    for who, status in (
        ({}, 401),
        (head_of(account(), role="user", scopes=all_), 403),
        (head_of(account(plan="pro"), role="pro", scopes=(*all_, "edit")), 403),
        (head_of(account(), role="editor", scopes=all_), 403),  # an editor's key that is not for this
        (head_of(account(), role="admin", scopes=("write", "admin")), 403),
    ):
        for method, path, body in (
            ("POST", SUMMARIES, {"kind": "article", "text": "x"}),
            ("GET", SUMMARIES, None),
            ("GET", place, None),
        ):
            answer = http.request(method, path, json=body, headers=who)
            assert answer.status_code == status, (who, method, path, answer.text)
    another = head_of(account(), role="editor", scopes=("edit",))
    assert get(http, another, made["id"])["id"] == made["id"]
    assert http.get(f"{SUMMARIES}/{uuid4()}", headers=another).status_code == 404
    assert http.get(f"{SUMMARIES}/no-id", headers=another).status_code == 404


@pytest.mark.parametrize(("body", "status", "param"), [
    ({"kind": "poem"}, 422, "kind"), ({"text": ""}, 422, "text"), ({"text": " \n "}, 422, "text"), ({"text": 5}, 422, "text"),
    ({"text": "x" * (TEXT_CHARACTERS + 1)}, 413, "text"), ({"title": "x" * 10_000}, 422, "title"), ({"title": ""}, 422, "title"),
    ({"model": "picture"}, 422, "model"), ({"model": "none"}, 404, "model"), ({"more": 1}, 422, "more"), ({"text": "a\x00b"}, 422, None),
])  # fmt: skip
def test_what_is_no_order_is_refused_by_its_field(
    http: TestClient, editor: dict[str, str], body: dict[str, Any], status: int, param: str | None
) -> None:
    answer = http.post(SUMMARIES, json={"kind": "article", "text": PAPER, **body}, headers=editor)
    assert answer.status_code == status, answer.text
    assert param is None or answer.json()["param"] == param
    if status == 413:
        assert (answer.json()["limit"], answer.json()["size"]) == (200_000, 200_001)
    assert rows("select count(*) from jobs") == [(0,)]


def test_the_longest_text_is_summarised(http: TestClient, editor: dict[str, str]) -> None:
    text = (PAPER + "\n\n") * (TEXT_CHARACTERS // (len(PAPER) + 2))
    text += "é" * (TEXT_CHARACTERS - len(text))
    made = order(http, editor, kind="article", text=text)
    work(*made["jobs"])
    found = get(http, editor, made["id"])
    assert found["status"] == "succeeded"
    assert 0 < len(found["paragraph"]) < 5000


@pytest.mark.parametrize(
    "text",
    [
        "😀 " * 50,
        "مرحبا بك في المطحنة. الماء يدير العجلة. " * 5,
        "水が車を回す。車が石を回す。" * 5,
        "<b>x</b><script>y</script> " * 20,
    ],
)
def test_texts_of_any_letters_are_summarised(http: TestClient, editor: dict[str, str], text: str) -> None:
    made = order(http, editor, kind="article", text=text, title=text[:200])
    work(*made["jobs"])
    found = get(http, editor, made["id"])
    assert (found["status"], found["title"]) == ("succeeded", text[:200])
    assert found["paragraph"]


def test_a_model_without_a_place_for_instructions_is_told_them_in_the_prompt(
    http: TestClient, editor: dict[str, str]
) -> None:
    schema = {"type": "object", "additionalProperties": False, "properties": {"prompt": {"type": "string"}}}
    model("plain", routes=[ROUTE], input_schema=schema, **TEXT)
    with TestClient(make_app()) as client:
        order(client, editor, kind="article", model="plain")
    (asked,) = one("select input->>'prompt' from jobs")
    assert asked.endswith(PAPER)
    assert asked.startswith("Summarise the article")


def test_summaries_are_listed_newest_first_and_their_texts_outlive_the_results(
    http: TestClient, editor: dict[str, str]
) -> None:
    made = [order(http, editor, kind=kind) for kind in ("article", "paper", "article")]
    work(*(job for each in made for job in each["jobs"]))
    assert texts.keep_texts(100) == 4
    with transaction() as conn:
        conn.execute("update assets set status = 'expired', expired_at = app_now()")
    first = http.get(SUMMARIES, params={"limit": 2}, headers=editor).json()
    rest = http.get(SUMMARIES, params={"limit": 2, "cursor": first["next"]}, headers=editor).json()
    assert [each["id"] for each in first["data"] + rest["data"]] == [each["id"] for each in made[::-1]]
    assert rest["next"] is None
    assert "paragraph" not in first["data"][0]
    for each in made:
        assert get(http, editor, each["id"])["paragraph"]


def test_deleting_a_session_of_the_house_takes_no_summary_its_text(
    http: TestClient, editor: dict[str, str], house: UUID
) -> None:
    made = order(http, editor)
    work(*made["jobs"])
    houses = {"authorization": f"Bearer {key_of(house)}"}
    for job in made["jobs"]:
        saved = http.post("/v1/playground/sessions", json={"job": job}, headers=houses).json()
        assert http.delete(f"/v1/playground/sessions/{saved['id']}", headers=houses).status_code == 204
    assert get(http, editor, made["id"])["implications"]


@pytest.mark.parametrize("value", ["", "5f0c1c06-6f4b-4d9c-9c44-0d2b7f3f6a01"])
def test_without_a_house_there_are_none(http: TestClient, editor: dict[str, str], value: str) -> None:
    with environment({"HOUSE_ACCOUNT": value}), TestClient(make_app()) as client:
        answer = client.post(SUMMARIES, json={"kind": "article", "text": PAPER}, headers=editor)
    assert (answer.status_code, answer.json()["code"]) == (404, "not_configured")
    assert "HOUSE_ACCOUNT" in answer.json()["detail"]
