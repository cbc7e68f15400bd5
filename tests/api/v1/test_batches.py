"""Batches over HTTP: JSON Lines in, JSON Lines out."""

import json
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from uuid import UUID, uuid4

import pytest
from fastapi.testclient import TestClient

from api.main import make_app
from api.orders import batched
from api.v1 import batches
from models.access import api_keys
from models.db import transaction
from models.jobs.ending import Ending, NewAsset, end
from scheduler.duties.batches import end_batches
from tests.conftest import environment
from tests.files import picture
from tests.models.hands import change
from tests.support import account, assert_books_are_clean, balance, claimed, key_of, model, one, rows, uploaded

pytestmark = pytest.mark.usefixtures("database")


@pytest.fixture
def http() -> Iterator[TestClient]:
    model("picture", price={"credits": 2})
    with TestClient(make_app()) as client:
        yield client


@pytest.fixture
def who() -> UUID:
    return account(amount=100)


def head(who: UUID, **more: str) -> dict[str, str]:
    return {"authorization": f"Bearer {key_of(who)}", **more}


def line(**fields: Any) -> dict[str, Any]:
    return {"model": "picture", "input": {"prompt": "a harbour"}, **fields}


def body(*lines: Any) -> bytes:
    return b"".join((each if isinstance(each, bytes) else json.dumps(each).encode()) + b"\n" for each in lines)


def read(text: str) -> list[dict[str, Any]]:
    assert text == "" or text.endswith("\n")
    return [json.loads(each) for each in text.splitlines()]


def post(http: TestClient, mine: dict[str, str], content: bytes, tail: str = "", status: int = 201) -> dict[str, Any]:
    answer = http.post(f"/v1/batches{tail}", content=content, headers=mine)
    assert answer.status_code == status, answer.text
    found: dict[str, Any] = answer.json()
    return found


def finish(who: UUID, ending: Ending | None = None) -> UUID:
    """End the first of the jobs that have a slot."""
    (job_id,) = one("select job_id from job_runs where dispatched and status = 'queued' order by job_id limit 1")
    claim = claimed(job_id)
    with transaction() as conn:
        assert end(conn, who, job_id, ending or Ending("succeeded", cost_credits=1), token=claim.token)
    found: UUID = job_id
    return found


def asset() -> NewAsset:
    return NewAsset(uuid4(), 0, "results/x", "image/png", 10, b"0" * 32, width=64, height=64)


def test_a_batch_is_ordered_looked_at_fetched_and_told_of(http: TestClient, who: UUID) -> None:
    mine = head(who)
    wanted = [line(custom_id="a", labels={"customer": "acme"}), line(queue="interactive"), line(custom_id="c")]
    answer = http.post("/v1/batches", content=body(*wanted), headers={**mine, "content-type": "application/x-ndjson"})
    assert answer.status_code == 201, answer.text
    made = answer.json()
    assert answer.headers["location"] == f"/v1/batches/{made['id']}"
    counts = {"queued": 3, "running": 0, "succeeded": 0, "failed": 0, "canceled": 0}
    assert (made["status"], made["orders"], made["accepted"], made["refused"]) == ("running", 3, 3, 0)
    assert (made["counts"], made["credits"], made["progress"]) == (counts, {"reserved": 6, "charged": 0}, 0)
    assert made["refusals"] == []
    assert [row[0] for row in rows("select queue from jobs order by id")] == ["batch", "interactive", "batch"]
    assert one("select labels from jobs order by id limit 1") == ({"customer": "acme"},)
    address = f"/v1/batches/{made['id']}"
    shown = http.get(address, headers=mine).json()
    assert {**shown, "refusals": []} == made
    assert http.get(f"{address}/results", headers=mine).text == ""

    first = finish(who, Ending("succeeded", cost_credits=1, assets=[asset()]))
    second = finish(who, Ending("failed", error_code="moderated", error_message="no"))
    shown = http.get(address, headers=mine).json()
    assert (shown["counts"]["succeeded"], shown["counts"]["failed"], shown["progress"]) == (1, 1, 66)
    assert shown["credits"] == {"reserved": 6, "charged": 1}
    results = http.get(f"{address}/results", headers=mine)
    assert results.headers["content-type"] == "application/x-ndjson"
    found = read(results.text)
    assert [(each["number"], each["custom_id"], each["job"], each["status"]) for each in found] == [
        (1, "a", str(first), "succeeded"),
        (2, None, str(second), "failed"),
    ]
    assert found[0]["outputs"][0]["url"].startswith("http")
    assert found[0]["credits"] == {"reserved": 2, "charged": 1}
    assert found[1]["error"] == {"code": "moderated", "message": "no"}
    assert [each["status"] for each in read(http.get(f"{address}/results?all=true", headers=mine).text)] == [
        "succeeded", "failed", "queued",
    ]  # fmt: skip

    finish(who)
    assert end_batches(10) == 1
    shown = http.get(address, headers=mine).json()
    assert (shown["status"], shown["progress"], shown["estimate_seconds"]) == ("completed", 100, None)
    assert shown["ended_at"] is not None
    assert http.get("/v1/batches", headers=mine).json() == {"data": [shown], "next": None}
    events = http.get("/v1/events?after=0", headers={**mine, "accept": "application/json"}).json()["data"]
    assert [each["data"]["batch"] for each in events if each["type"] == "batch.completed"] == [made["id"]]
    assert_books_are_clean()


BAD_LINES = {
    b"{": "invalid_request",
    b"": "invalid_request",
    b"[]": "invalid_request",
    b"null": "invalid_request",
    b"\xff\xfe": "invalid_request",
    b'{"model":"picture","input":{"prompt":"a\\u0000b"}}': "invalid_input",
    b'{"model":"picture","input":{"prompt":"\\ud800"}}': "invalid_input",
    b'{"model":"picture","input":{"prompt":"a\0b"}}': "invalid_input",
    b'{"model":"picture","input":' + b"[" * 500 + b"]" * 500 + b"}": "invalid_input",
    b'{"model":"none","input":{}}': "unknown_model",
    b'{"model":"picture"}': "invalid_input",
    b'{"model":1,"input":{}}': "invalid_input",
    b'{"model":"picture","input":{"width":1}}': "invalid_input",
    b'{"model":"picture","input":{"nonsense":1}}': "invalid_input",
    b'{"model":"picture","input":{},"priority":101}': "invalid_input",
    b'{"model":"picture","input":{},"queue":"fast"}': "invalid_input",
    b'{"model":"picture","input":{},"custom_id":""}': "invalid_input",
    b'{"model":"picture","input":{},"custom_id":"' + b"x" * 101 + b'"}': "invalid_input",
    b'{"model":"picture","input":{},"custom_id":"a\\nb"}': "invalid_input",
    b'{"model":"picture","input":{},"custom_id":7}': "invalid_input",
    b'{"model":"picture","input":{},"other":7}': "invalid_input",
    b'{"model":"picture","input":{},"webhook":"nowhere"}': "invalid_input",
    b'{"model":"picture","input":{},"webhook_events":["job.failed"]}': "invalid_input",
    b'{"model":"picture","input":{},"labels":{"A B":"c"}}': "invalid_input",
    b'{"model":"picture","input":{},"custom_id":"twice"}': "invalid_input",
}


def test_each_bad_line_is_refused_with_its_number_and_the_good_ones_are_ordered(http: TestClient, who: UUID) -> None:
    mine = head(who)
    content = body(line(custom_id="twice"), *BAD_LINES, line(custom_id="last"))
    refused = post(http, mine, content, status=422)
    assert (refused["code"], refused["param"], len(refused["refusals"])) == ("batch_refused", "line 2", len(BAD_LINES))
    assert balance(who) == (100, 0)
    made = post(http, mine, content, "?accept=valid")
    assert (made["orders"], made["accepted"], made["refused"]) == (len(BAD_LINES) + 2, 2, len(BAD_LINES))
    assert made["refusals"] == refused["refusals"]
    wrong = [
        (raw, told)
        for (raw, code), told in zip(BAD_LINES.items(), made["refusals"], strict=True)
        if told["code"] != code or not told["message"] or not told["param"]
    ]
    assert wrong == []
    assert [each["number"] for each in made["refusals"]] == list(range(2, len(BAD_LINES) + 2))
    assert made["refusals"][-1]["message"] == "custom_id 'twice' is that of line 1 already"
    results = read(http.get(f"/v1/batches/{made['id']}/results", headers=mine).text)
    assert [each["number"] for each in results] == [each["number"] for each in made["refusals"]]
    assert {each["status"] for each in results} == {"refused"}
    assert {name: results[0]["error"][name] for name in ("code", "message", "param")} == {
        name: made["refusals"][0][name] for name in ("code", "message", "param")
    }
    assert balance(who) == (96, 4)
    assert_books_are_clean()


def test_a_line_has_its_own_limit_and_the_body_another(who: UUID) -> None:
    model("picture")
    mine = head(who)
    long = line(webhook="https://example.com/" + "x" * 3000)
    with environment({"MAX_BODY_BYTES": "2000", "MAX_BATCH_BYTES": "10000"}), TestClient(make_app()) as http:
        made = post(http, mine, body(line(), long), "?accept=valid")
        told = made["refusals"][0]
        assert (told["number"], told["code"], told["param"]) == (2, "body_too_large", "line")
        assert told["message"] == f"the line has {len(json.dumps(long))} bytes; the limit is 2000"
        for content in (b"x" * 10_001, iter([b"x" * 6_000, b"\n" * 6_000])):
            answer = http.post("/v1/batches", content=content, headers=mine)
            assert (answer.status_code, answer.json()["code"], answer.json()["limit"]) == (
                413,
                "body_too_large",
                10_000,
            )
    assert one("select count(*) from jobs") == (1,)


def test_a_batch_has_so_many_lines_and_at_least_one(
    http: TestClient, who: UUID, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batched, "MAX_LINES", 3)
    mine = head(who)
    for content in (b"", b"\n", b" \r\n\t\n\n"):
        assert post(http, mine, content, status=400)["detail"].startswith("the body has no line")
    for content in (body(*[line()] * 4), b"\n\n\n" + body(line()), b"\n" * 5 + body(line())):
        assert "more than 3 lines" in post(http, mine, content, status=422)["detail"]
    assert post(http, mine, body(*[line()] * 3) + b"\n" * 50)["orders"] == 3, "what is empty at the end is no line"
    assert post(http, mine, b"\n" + body(line()), "?accept=valid")["refusals"][0]["message"] == "the line is empty"
    assert post(http, mine, json.dumps(line()).encode())["orders"] == 1, "the last line needs no end"


@pytest.mark.parametrize(
    "tail", ["?accept=some", "?accept=", "?max_running=0", "?max_running=1001", "?max_running=x", "?max_running=9e99"]
)
def test_how_a_batch_is_ordered_is_checked(http: TestClient, who: UUID, tail: str) -> None:
    refused = post(http, head(who), body(line()), tail, status=422)
    assert refused["param"] == tail[1:].partition("=")[0]


def test_a_form_is_no_batch(http: TestClient, who: UUID) -> None:
    answer = http.post("/v1/batches", files={"file": b"{}"}, headers=head(who))
    assert (answer.status_code, answer.json()["code"]) == (400, "invalid_request")


def test_at_most_so_many_of_a_batch_are_under_way(http: TestClient, who: UUID) -> None:
    mine = head(who)
    made = post(http, mine, body(*[line()] * 4), "?max_running=1")
    assert made["max_running"] == 1
    jobs = [job for (job,) in rows("select id from jobs order by id")]
    waiting = [http.get(f"/v1/jobs/{job}", headers=mine).json()["waiting"] for job in jobs]
    assert waiting[0]["position"] == 0
    assert waiting[1] == {
        "position": None,
        "reason": "its batch has as many jobs under way as it may",
        "estimate_seconds": None,
    }
    assert len(http.get("/v1/jobs?status=queued", headers=mine).json()["data"]) == 4


def test_a_batch_stands_behind_every_other_job_of_its_account(http: TestClient, who: UUID) -> None:
    mine = head(who)
    post(http, mine, body(*[line(priority=100)] * 4))
    alone = http.post("/v1/jobs", json=line(priority=-100), headers=mine).json()
    assert http.get(f"/v1/jobs/{alone['id']}", headers=mine).json()["waiting"]["position"] == 1
    finish(who)
    assert http.get(f"/v1/jobs/{alone['id']}", headers=mine).json()["waiting"]["position"] == 0


# --- once ---


def test_the_same_request_again_has_the_same_answer_and_another_is_refused(http: TestClient, who: UUID) -> None:
    mine = head(who, **{"idempotency-key": "k"})
    content = body(line(), line())
    first = http.post("/v1/batches", content=content, headers=mine)
    assert "idempotent-replayed" not in first.headers
    finish(who)
    change("update models set current = false where id = 'picture'")
    again = http.post("/v1/batches", content=content, headers=mine)
    assert (again.status_code, again.json(), again.headers["idempotent-replayed"]) == (201, first.json(), "true")
    for other, tail in ((body(line()), ""), (content, "?accept=valid"), (content, "?max_running=1")):
        refused = post(http, mine, other, tail, status=422)
        assert refused["code"] == "idempotency_mismatch"
    assert one("select count(*) from batches") == (1,)
    assert one("select count(*) from jobs") == (2,)


def test_a_batch_that_was_refused_may_come_again_under_its_key(http: TestClient) -> None:
    who = account(amount=1)
    mine = head(who, **{"idempotency-key": "k"})
    assert post(http, mine, body(line()), status=422)["refusals"][0]["code"] == "not_enough_credits"
    change(
        "update models set entry = jsonb_set(entry, '{price,credits}', '1'), version = version + 1 where id = 'picture'"
    )
    with TestClient(make_app()) as fresh:
        assert post(fresh, mine, body(line()))["accepted"] == 1


def test_the_same_request_twice_at_the_same_time_orders_one_batch(http: TestClient, who: UUID) -> None:
    mine = head(who, **{"idempotency-key": "k"})
    content = body(*[line() for _ in range(20)])
    with ThreadPoolExecutor(6) as threads:
        answers = list(threads.map(lambda _: http.post("/v1/batches", content=content, headers=mine), range(6)))
    assert {answer.status_code for answer in answers} <= {201, 429, 503}
    made = [answer for answer in answers if answer.status_code == 201]
    assert len({answer.json()["id"] for answer in made}) == 1
    assert sum("idempotent-replayed" not in answer.headers for answer in made) == 1
    assert one("select count(*) from jobs") == (20,)
    assert_books_are_clean()


# --- whose ---


def test_nobody_finds_another_accounts_batch(http: TestClient, who: UUID) -> None:
    made = post(http, head(who), body(line()))
    theirs = head(account())
    for method, tail in (("GET", ""), ("GET", "/results"), ("POST", "/cancel")):
        for name in (made["id"], str(uuid4()), "nonsense"):
            answer = http.request(method, f"/v1/batches/{name}{tail}", headers=theirs)
            assert (answer.status_code, answer.json()["code"]) == (404, "not_found")
    assert http.get("/v1/batches", headers=theirs).json()["data"] == []


def keyed(who: UUID, **fields: Any) -> dict[str, str]:
    with transaction() as conn:
        return {"authorization": f"Bearer {api_keys.create(conn, who, api_keys.NewKey('k', **fields))[1]}"}


def test_a_key_orders_what_it_may_and_for_as_much_as_it_may(http: TestClient, who: UUID) -> None:
    model("other")
    mine = keyed(who, models=["picture"], monthly_credits=5)
    made = post(http, mine, body(line(), line(model="other"), line(), line()), "?accept=valid")
    assert [(each["number"], each["code"]) for each in made["refusals"]] == [
        (2, "forbidden"),
        (4, "key_budget_exceeded"),
    ]
    assert http.post("/v1/batches", content=body(line()), headers=keyed(who, scopes=("read",))).status_code == 403
    assert http.post("/v1/batches", content=body(line())).status_code == 401


# --- results ---


def test_results_are_sent_page_by_page_and_a_download_goes_on_where_it_broke_off(
    http: TestClient, who: UUID, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batches, "LINES_AT_ONCE", 2)
    mine = head(who)
    made = post(http, mine, body(*[line(custom_id=f"c{number}") for number in range(5)]))
    address = f"/v1/batches/{made['id']}/results"

    def numbers(tail: str) -> list[int]:
        return [each["number"] for each in read(http.get(address + tail, headers=mine).text)]

    assert numbers("?all=true") == [1, 2, 3, 4, 5]
    assert numbers("?all=true&after=3") == [4, 5]
    assert numbers("?all=true&after=5") == numbers("?all=true&after=10000") == []
    assert numbers("") == [], "pages of which nothing is shown are passed over"
    for _ in range(2):
        finish(who)
    (third,) = one("select job_id from batch_orders where number = 4")
    change("update job_runs set dispatched = false, wake_at = null where job_id <> %s", third)
    change("update job_runs set dispatched = true, wake_at = app_now() where job_id = %s", third)
    finish(who)
    assert numbers("") == [1, 2, 4]
    for tail, param in (
        ("?after=-1", "after"),
        ("?after=x", "after"),
        ("?after=10001", "after"),
        ("?all=perhaps", "all"),
    ):
        answer = http.get(address + tail, headers=mine)
        assert (answer.status_code, answer.json()["param"]) == (422, param)


# --- cancel ---


def test_a_canceled_batch_is_refunded(http: TestClient, who: UUID) -> None:
    mine = head(who)
    made = post(http, mine, body(*[line()] * 5))
    finish(who)
    claimed(one("select job_id from job_runs where dispatched order by job_id limit 1")[0])
    answer = http.post(f"/v1/batches/{made['id']}/cancel", headers=mine).json()
    assert (answer["status"], answer["counts"]["canceled"], answer["counts"]["running"]) == ("canceling", 3, 1)
    assert http.post(f"/v1/batches/{made['id']}/cancel", headers=mine).json() == answer | {
        "estimate_seconds": http.get(f"/v1/batches/{made['id']}", headers=mine).json()["estimate_seconds"]
    }
    assert balance(who) == (97, 2)
    assert_books_are_clean()


# --- files in inputs ---


def with_file() -> None:
    schema = {
        "type": "object", "additionalProperties": False, "properties": {"image": {"type": "string", "format": "image"}},
    }  # fmt: skip
    model("upscale", input_schema=schema)


def test_files_are_made_sure_of_once_however_many_lines_name_them(who: UUID, monkeypatch: pytest.MonkeyPatch) -> None:
    with_file()
    file = f"file_{uploaded(who, [picture()]).id.hex}"
    looks = list[str]()
    with TestClient(make_app()) as http:
        inputs = http.app.state.services.inputs
        real = type(inputs).accept_one

        async def counted(self: Any, account_id: UUID, param: str, wanted: str, given: str) -> str:
            looks.append(given)
            return str(await real(self, account_id, param, wanted, given))

        monkeypatch.setattr(type(inputs), "accept_one", counted)
        good = [{"model": "upscale", "input": {"image": file}}] * 3
        bad: Sequence[str] = ("file_" + "0" * 32, "data:image/png;base64,AAAA", "http://127.0.0.1/x.png", "nowhere")
        content = body(
            *good, *({"model": "upscale", "input": {"image": each}} for each in bad), {"model": "upscale", "input": {}}
        )
        made = post(http, head(who), content, "?accept=valid")
    codes = [(each["number"], each["code"], each["param"]) for each in made["refusals"]]
    assert codes == [
        (4, "not_found", "input.image"), (5, "invalid_input", "input.image"), (6, "refused_address", "input.image"), (7, "invalid_input", "input.image"),
    ]  # fmt: skip
    assert looks.count(file) == 1
    assert one("select count(*) from jobs where input->>'image' = %s", file) == (3,)
