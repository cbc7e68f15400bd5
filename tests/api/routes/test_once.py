"""The same request again: with an Idempotency-Key it has the same answer, on every route that makes something. And after a
commit the answer is that it was done, whatever follows.
"""

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from starlette.testclient import TestClient

from api.main import make_app
from api.orders import placing
from api.services import services
from common.settings import settings
from models.access import api_keys
from models.access.scopes import SCOPES
from models.db import transaction
from models.jobs import answered, tables
from models.jobs.cancel import cancel
from tests.conftest import environment
from tests.files import picture
from tests.support import (
    account,
    assert_books_are_clean,
    balance,
    eventually,
    lock_waits,
    model,
    one,
    order,
    place,
    placed,
    rows,
)

pytestmark = [
    pytest.mark.usefixtures("database"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
]
LATER = {"CLOCK_OFFSET_SECONDS": str(25 * 3600)}


@pytest.fixture
def who() -> Any:
    return account(amount=20)


@pytest.fixture
def http(database: str, who: Any) -> Iterator[TestClient]:
    model("quick")
    with transaction() as conn:
        conn.execute("update users set role = 'admin'")
        secret = api_keys.create(conn, who, api_keys.NewKey("asks", scopes=SCOPES))[1]
    with TestClient(make_app(), raise_server_exceptions=False) as client:
        client.headers["authorization"] = f"Bearer {secret}"
        yield client


def hook(http: TestClient) -> str:
    made: str = http.post("/v1/webhooks", json={"url": "https://example.com/"}).json()["id"]
    return made


def made_key(http: TestClient) -> str:
    made: str = http.post("/v1/keys", json={"name": "old"}).json()["id"]
    return made


def ended(http: TestClient) -> str:
    job: str = http.post("/v1/jobs", json={"model": "quick", "input": {}}).json()["id"]
    http.post(f"/v1/jobs/{job}/cancel")
    return job


# What is asked, how often it was done, and another request under the same key.
MAKES: dict[str, tuple[str, dict[str, Any], str, dict[str, Any]]] = {
    "job": ("/v1/jobs", {"json": {"model": "quick", "input": {"seed": 4}}},
            "select count(*) from jobs where input->>'seed' = '4'", {"json": {"model": "quick", "input": {"seed": 5}}}),
    "job again": ("/v1/jobs/{ended}/retry", {}, "select count(*) from jobs where retry_of is not null", {}),
    "key": ("/v1/keys", {"json": {"name": "new"}}, "select count(*) from api_keys where name in ('new', 'other')",
            {"json": {"name": "other"}}),
    "rotated key": ("/v1/keys/{key}/rotate", {"json": {}}, "select count(*) - 1 from api_keys where name = 'old'",
                    {"json": {"overlap_hours": 1}}),
    "webhook": ("/v1/webhooks", {"json": {"url": "https://example.com/2"}},
                "select count(*) - 1 from webhook_endpoints", {"json": {"url": "https://example.com/3"}}),
    "webhook's secret": ("/v1/webhooks/{hook}/rotate", {},
                         "select count(*) from webhook_endpoints where previous_secret is not null", {}),
    "default secret": ("/v1/webhooks/default/rotate", {},
                       "select count(*) from webhook_secrets where previous_secret is not null", {}),
    "test": ("/v1/webhooks/{hook}/test", {}, "select count(*) from deliveries", {}),
    "file": ("/v1/files", {"files": {"file": ("a.png", picture())}}, "select count(*) from uploads",
             {"files": {"file": ("a.png", picture(colour="blue"))}}),
    "announcement": ("/v1/admin/announcements", {"json": {"title": "a", "body": "b"}},
                     "select count(*) from announcements", {"json": {"title": "a", "body": "c"}}),
}  # fmt: skip


def path_of(http: TestClient, path: str) -> str:
    return path.format(
        ended=ended(http) if "{ended}" in path else "", key=made_key(http) if "{key}" in path else "",
        hook=hook(http) if path.endswith("/test") or "{hook}" in path or path == "/v1/webhooks" else "",
    )  # fmt: skip


@pytest.mark.parametrize("name", MAKES)
def test_the_same_request_again_has_the_same_answer(http: TestClient, name: str) -> None:
    template, request, done, other = MAKES[name]
    path, head = path_of(http, template), {"idempotency-key": "once"}
    first = http.post(path, headers=head, **request)
    again = http.post(path, headers=head, **request)
    assert first.status_code < 300, first.text
    assert (again.status_code, again.json()) == (first.status_code, first.json())
    assert again.headers.get("location") == first.headers.get("location")
    assert again.headers["idempotent-replayed"] == "true"
    assert "idempotent-replayed" not in first.headers
    assert one(done) == (1,)
    if other:
        refused = http.post(path, headers=head, **other)
        assert (refused.status_code, refused.json()["code"]) == (422, "idempotency_mismatch")
        assert one(done) == (1,)
        assert http.post(path, headers={"idempotency-key": "two"}, **other).status_code < 300
    assert http.post(path, headers={"idempotency-key": "x" * 256}, **request).status_code in {400, 422}
    assert_books_are_clean()


@pytest.mark.parametrize("name", MAKES)
def test_the_same_request_at_the_same_moment_is_done_once(http: TestClient, name: str) -> None:
    template, request, done, _ = MAKES[name]
    path, gate = path_of(http, template), threading.Barrier(4)

    def ask(_n: int) -> Any:
        gate.wait()
        return http.post(path, headers={"idempotency-key": "once"}, **request)

    with ThreadPoolExecutor(4) as threads:
        answers = list(threads.map(ask, range(4)))
    assert {each.status_code for each in answers} == {answers[0].status_code}
    assert answers[0].status_code < 300
    assert len({each.json().get("id", each.text) for each in answers}) == 1
    assert one(done) == (1,)
    assert_books_are_clean()


def test_another_route_or_another_account_is_another_request(http: TestClient, who: Any) -> None:
    head = {"idempotency-key": "once"}
    made = hook(http)
    assert http.post("/v1/keys", json={"name": "x"}, headers=head).status_code == 201
    assert http.post(f"/v1/webhooks/{made}/test", headers=head).json()["code"] == "idempotency_mismatch"
    with transaction() as conn:
        secret = api_keys.create(conn, account(), api_keys.NewKey("theirs"))[1]
    theirs = http.post("/v1/keys", json={"name": "x"}, headers={**head, "authorization": f"Bearer {secret}"})
    assert theirs.status_code == 201


def test_what_was_refused_may_be_tried_again_with_the_same_key(http: TestClient) -> None:
    with environment({"WEBHOOK_ENDPOINTS_MAX": "1"}):
        settings.cache_clear()
        hook(http)
        body, head = {"url": "https://example.com/2"}, {"idempotency-key": "once"}
        assert http.post("/v1/webhooks", json=body, headers=head).json()["code"] == "too_many_webhooks"
        assert http.delete(f"/v1/webhooks/{http.get('/v1/webhooks').json()['data'][0]['id']}").status_code == 204
        assert http.post("/v1/webhooks", json=body, headers=head).status_code == 201


def test_an_answer_that_is_kept_cannot_be_read_at_rest(http: TestClient) -> None:
    made = http.post("/v1/keys", json={"name": "x"}, headers={"idempotency-key": "once"}).json()
    assert made["secret"].encode() not in one("select answer from answered_requests")[0]


def test_a_file_sent_again_needs_no_room_of_its_own(http: TestClient, who: Any) -> None:
    head, file = {"idempotency-key": "once"}, {"file": ("a.png", picture())}
    first = http.post("/v1/files", files=file, headers=head)
    with transaction() as conn:
        conn.execute(
            """update accounts a set storage_bytes = p.storage_quota_bytes from plans p where p.id = a.plan_id and a.id = %s""",
            [who],
        )
    assert http.post("/v1/files", files=file, headers=head).json() == first.json()
    assert http.post("/v1/files", files=file).status_code == 403


def test_an_order_sent_again_is_answered_though_its_model_and_its_file_are_gone(http: TestClient, who: Any) -> None:
    fields = {"photo": {"type": "string", "format": "image"}}
    model("photos", input_schema={"type": "object", "additionalProperties": False, "properties": fields})
    services(http.app).catalogue.load()
    file = http.post("/v1/files", files={"file": ("a.png", picture())}).json()["id"]
    body, head = {"model": "photos", "input": {"photo": file}}, {"idempotency-key": "once"}
    first = http.post("/v1/jobs", json=body, headers=head)
    assert first.status_code == 201
    http.delete(f"/v1/files/{file}")
    again = http.post("/v1/jobs", json=body, headers=head)
    assert (again.status_code, again.json()["id"]) == (201, first.json()["id"])
    assert again.headers["idempotent-replayed"] == "true"
    assert http.post("/v1/jobs", json=body).status_code == 404
    assert http.post("/v1/jobs", json={**body, "priority": 1}, headers=head).status_code == 404
    with transaction() as conn:
        conn.execute("update models set current = false where id = 'photos'")
    services(http.app).catalogue.load()
    assert http.post("/v1/jobs", json=body, headers=head).json()["id"] == first.json()["id"]


# Keys and their age


def test_a_renewed_key_has_its_age_from_its_renewal() -> None:
    who, offer = account(amount=9), model()

    def ordered(seed: int) -> Any:
        return place(order(who, offer, {"seed": seed}, idempotency_key="k", body_hash=bytes([seed]) * 32))[0]

    first = ordered(1)
    with environment(LATER):
        second = ordered(2)  # the key is a day old: it is anybody's again
        assert not second.replayed
        assert second.job_id != first.job_id
        third = ordered(2)
        assert (third.replayed, third.job_id) == (True, second.job_id)
        with transaction() as conn:
            assert tables.forget_idempotency_keys(conn, 100) == 0
    with environment({"CLOCK_OFFSET_SECONDS": str(51 * 3600)}), transaction() as conn:
        assert tables.forget_idempotency_keys(conn, 100) == 1
        assert tables.forget_idempotency_keys(conn, 100) == 0


def test_a_kept_answer_has_an_age_and_is_renewed_with_it(http: TestClient, who: Any) -> None:
    head = {"idempotency-key": "once"}
    first = http.post("/v1/keys", json={"name": "x"}, headers=head).json()
    with transaction() as conn:
        conn.execute("update answered_requests set created_at = created_at - interval '25 hours'")
    second = http.post("/v1/keys", json={"name": "y"}, headers=head)
    assert second.status_code == 201
    assert second.json()["id"] != first["id"]
    assert http.post("/v1/keys", json={"name": "y"}, headers=head).json() == second.json()
    with transaction() as conn:
        assert answered.forget(conn, 100) == 0
        conn.execute("update answered_requests set created_at = created_at - interval '25 hours'")
        assert tables.forget_idempotency_keys(conn, 100) == 1
    assert rows("select 1 from answered_requests") == []


@pytest.mark.parametrize("table", ["idempotency_keys", "answered_requests"])
def test_a_key_that_is_renewed_while_it_is_swept_stays(table: str) -> None:
    who, offer = account(amount=9), model()
    job = placed(who, offer)
    more = ", job_id" if table == "idempotency_keys" else ", answer"
    with transaction() as conn:
        conn.execute(
            f"""insert into {table} (account_id, key, body_hash, created_at{more})
                values (%s, 'k', %s, app_now() - interval '25 hours', %s)""",
            [who, b"1" * 32, job if table == "idempotency_keys" else b"x"],
        )

    def sweep() -> int:
        with transaction() as conn:
            return tables.forget_idempotency_keys(conn, 100)

    with ThreadPoolExecutor(1) as thread:
        with transaction() as conn:
            conn.execute(f"update {table} set created_at = app_now(), body_hash = %s", [b"2" * 32])
            sweeping = thread.submit(sweep)
            eventually(lambda: lock_waits() > 0, what="the sweep that waits")
        assert sweeping.result() == 0
    assert [bytes(row[0]) for row in rows(f"select body_hash from {table}")] == [b"2" * 32]


# After a commit


def test_who_waits_while_the_process_stops_is_answered_with_the_job(http: TestClient, who: Any) -> None:
    services(http.app).live.stop()
    for path, body in (("/v1/jobs", {"model": "quick", "input": {}}), (f"/v1/jobs/{canceled(who)}/retry", None)):
        answer = http.post(path, json=body, headers={"prefer": "wait=5"})
        assert (answer.status_code, answer.json()["status"]) == (201, "queued"), answer.text
        assert http.get(answer.headers["location"]).status_code == 200
    looked = http.get(answer.headers["location"], headers={"prefer": "wait=5"})
    assert (looked.status_code, looked.json()["status"]) == (200, "queued")


def canceled(who: Any) -> Any:
    job = placed(who, model("quick"))
    with transaction() as conn:
        cancel(conn, job)
    return job


def test_who_waits_while_nothing_can_be_read_is_answered_with_the_job(
    http: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fail(_id: Any) -> None:
        raise RuntimeError("nothing can be read")

    monkeypatch.setattr(services(http.app).jobs, "ask", fail)
    answer = http.post("/v1/jobs", json={"model": "quick", "input": {}}, headers={"prefer": "wait=5"})
    assert (answer.status_code, answer.json()["status"]) == (201, "queued")


def test_a_cancel_whose_bell_cannot_be_rung_is_done(
    http: TestClient, who: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from workers import doorbell

    def broken(*_args: object, **_kwargs: object) -> bool:
        raise OSError("no bell")

    monkeypatch.setattr(doorbell.Doorbell, "ring", broken)
    job = placed(who, model())
    answer = http.post(f"/v1/jobs/{job}/cancel")
    assert (answer.status_code, answer.json()["status"]) == (200, "canceled")
    assert balance(who) == (20, 0)
    assert placing.ring is doorbell.ring
