"""Requests of fal's dialect over HTTP, to an API in this process: what is asked for, refused, told and called off."""

import io
from collections.abc import Iterator
from typing import Any
from uuid import UUID, uuid4

import pytest
from PIL import Image
from starlette.testclient import TestClient

from api.main import make_app
from cli.embedded.servers import Addresses
from common.redis_client import redis_client
from models.access import api_keys
from models.db import transaction
from models.jobs import cancel
from tests.conftest import environment, fresh_database
from tests.support import (
    account,
    almost,
    assert_books_are_clean,
    balance,
    claimed,
    eventually,
    key_of,
    model,
    one,
    rows,
)

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")

PUBLIC = "http://api.test"
QUEUE, RUN, CDN, REST, PROXY = (f"/compat/fal/{each}" for each in ("queue", "run", "cdn", "rest", "proxy"))
TARGET = "x-fal-target-url"


@pytest.fixture(scope="module")
def http(stack: Addresses) -> Iterator[TestClient]:
    """An API without workers: what is ordered stays queued."""
    with redis_client(stack.redis_url, timeout_seconds=15) as client:
        client.flushall()
    given = {"PUBLIC_URL": PUBLIC, "PREFER_WAIT_SECONDS": "0.5", "KEY_CACHE_SECONDS": "0"}
    with fresh_database(stack), environment({"FAILED_AUTH_PER_MINUTE": "100000", **given}):
        model("picture", aliases=["fal-ai/flux/dev", "fal-ai/flux"])
        model("edit", input_schema={
            "type": "object", "additionalProperties": False, "properties": {"image_url": {"type": "string", "format": "image"}},
        })  # fmt: skip
        with TestClient(make_app(), base_url=PUBLIC, raise_server_exceptions=False, follow_redirects=False) as api:
            yield api
        assert_books_are_clean()


class Asker:
    """A program with a key of an account."""

    def __init__(self, http: TestClient, credits: int = 50, **fields: Any) -> None:
        self.http, self.account_id = http, account(amount=credits)
        self.key = key_of(self.account_id)
        if fields:
            with transaction() as conn:
                self.key = api_keys.create(conn, self.account_id, api_keys.NewKey("test", **fields))[1]

    def ask(self, method: str, path: str, **given: Any) -> Any:
        headers = {"authorization": f"Key {self.key}", **given.pop("headers", {})}
        answer = self.http.request(method, path, headers=headers, **given)
        assert answer.headers["x-fal-request-id"], (method, path, answer.text)
        assert not 300 <= answer.status_code < 400
        return answer

    def submit(self, app: str = "fal-ai/flux/dev", **given: Any) -> dict[str, Any]:
        answer = self.ask("POST", f"{QUEUE}/{app}", **{"json": {"prompt": "a harbour"}, **given})
        assert answer.status_code == 200, answer.text
        return dict(answer.json())

    def jobs(self) -> int:
        return int(one("select count(*) from jobs where account_id = %s", self.account_id)[0])


@pytest.fixture
def asker(http: TestClient) -> Asker:
    return Asker(http)


def test_an_order_is_answered_with_addresses_at_which_it_is_looked_at_and_called_off(asker: Asker) -> None:
    told = asker.submit()
    base = f"{PUBLIC}{QUEUE}/fal-ai/flux/requests/{told['request_id']}"
    assert (told["response_url"], told["status_url"], told["cancel_url"]) == (base, f"{base}/status", f"{base}/cancel")
    status = asker.ask("GET", told["status_url"], params={"logs": "1"})
    assert (status.status_code, status.json()["status"], status.json()["queue_position"]) == (202, "IN_QUEUE", 0)
    assert status.headers["x-fal-request-id"] == told["request_id"]
    assert asker.ask("GET", told["status_url"] + "/").status_code in (202, 404, 405)  # but no redirect
    assert asker.ask("GET", told["response_url"]).status_code == 400
    claimed(UUID(told["request_id"]))
    eventually(lambda: asker.ask("GET", told["status_url"]).json()["status"] == "IN_PROGRESS")
    assert asker.ask("GET", told["status_url"]).json()["logs"] is None
    assert asker.ask("PUT", told["cancel_url"]).json() == {"status": "CANCELLATION_REQUESTED"}
    with transaction() as conn:
        cancel.cancel(conn, UUID(told["request_id"]))


def test_one_that_is_called_off_is_over_and_refunded(asker: Asker) -> None:
    told = asker.submit()
    assert balance(asker.account_id) == (49, 1)
    assert asker.ask("PUT", told["cancel_url"]).status_code == 202
    assert balance(asker.account_id) == (50, 0)
    status = asker.ask("GET", told["status_url"] + "?logs=true").json()
    assert (status["status"], status["error_type"], status["logs"]) == ("COMPLETED", "client_cancelled", [])
    result = asker.ask("GET", told["response_url"])
    assert (result.status_code, result.json()["error_type"]) == (400, "client_cancelled")
    assert asker.ask("GET", f"{told['response_url']}/response").status_code == 400
    assert asker.ask("PUT", told["cancel_url"]).status_code == 202  # sent again
    stream = asker.ask("GET", told["status_url"] + "/stream?logs=1")
    assert stream.headers["content-type"].startswith("text/event-stream")
    assert [line for line in stream.text.splitlines() if line.startswith("data:")] != []
    assert '"COMPLETED"' in stream.text
    assert "\nid:" not in stream.text
    assert "retry:" not in stream.text


@pytest.mark.parametrize(
    "app", ["picture", "headrace/picture", "fal-ai/flux", "fal-ai/flux/dev", "fal-ai/flux/dev/", "/fal-ai//flux"]
)
def test_an_app_is_found_by_any_of_its_names(asker: Asker, app: str) -> None:
    assert asker.submit(app)["request_id"]
    assert rows("select model_id from jobs where account_id = %s", asker.account_id) == [("picture",)]


def test_what_is_wrong_is_refused_in_the_dialects_words(asker: Asker) -> None:
    cases: list[tuple[str, str, dict[str, Any], int]] = [
        ("POST", f"{QUEUE}/nobody/knows", {"json": {}}, 404),
        ("POST", f"{QUEUE}", {"json": {}}, 404),
        ("POST", f"{RUN}/", {"json": {}}, 404),
        ("POST", f"{QUEUE}/picture", {"content": b"[]"}, 400),
        ("POST", f"{QUEUE}/picture", {"content": b"{"}, 400),
        ("POST", f"{QUEUE}/picture", {"content": b'{"prompt":"\\ud800"}'}, 422),
        ("POST", f"{QUEUE}/picture", {"json": {"nonsense": 1}}, 422),
        ("POST", f"{QUEUE}/picture", {"json": {}, "headers": {"x-fal-queue-priority": "urgent"}}, 422),
        ("POST", f"{QUEUE}/picture", {"json": {}, "headers": {"x-fal-request-timeout": "never"}}, 422),
        ("POST", f"{QUEUE}/picture", {"json": {}, "headers": {"x-fal-object-lifecycle-preference": "{}"}}, 422),
        ("POST", f"{RUN}/picture?fal_webhook=https://a.example/x", {"json": {}}, 422),
        ("POST", f"{QUEUE}/picture?fal_webhook=nonsense", {"json": {}}, 422),
        ("GET", f"{QUEUE}/picture/requests/nonsense/status", {}, 404),
        ("GET", f"{QUEUE}/picture/requests/{uuid4()}/status", {}, 404),
        ("PUT", f"{QUEUE}/picture/requests/{uuid4()}/cancel", {}, 404),
        ("POST", f"{QUEUE}/picture/requests/{uuid4()}/cancel", {"json": {}}, 405),
        ("DELETE", f"{QUEUE}/picture", {}, 405),
        ("GET", f"{RUN}/picture", {}, 405),
        ("POST", f"{REST}/tokens/", {"json": {}}, 404),
        ("GET", "/compat/fal/nothing", {}, 404),
        ("POST", f"{QUEUE}/picture", {"content": b" " * 2_000_000}, 413),
        ("POST", f"{REST}/storage/upload/initiate-multipart", {"json": {}}, 413),
        ("POST", f"{CDN}/files/upload", {"content": b"no picture at all"}, 422),
        ("POST", f"{CDN}/files/upload", {"content": b""}, 422),
        ("PUT", f"{CDN}/uploads/nonsense", {"content": b"x"}, 404),
        ("POST", PROXY, {"json": {}}, 400),
        ("POST", PROXY, {"json": {}, "headers": {TARGET: "https://example.com/"}}, 400),
        ("GET", PROXY, {"headers": {TARGET: "https://queue.fal.run/a/b"}}, 405),
    ]
    for method, path, given, status in cases:
        answer = asker.ask(method, path, **given)
        assert answer.status_code == status, (method, path, answer.text)
        body = answer.json()
        assert body["message"], body
        assert isinstance(body["detail"], list if status == 422 else str), body
    assert asker.jobs() == 0


def test_who_may_not_is_told_so_in_the_dialects_words(http: TestClient) -> None:
    reader, poor = Asker(http, scopes=["read"]), Asker(http, credits=0)
    for asker, status in ((reader, 403), (poor, 402)):
        answer = asker.ask("POST", f"{QUEUE}/picture", json={})
        assert (answer.status_code, type(answer.json()["detail"])) == (status, str)
    reader.key = "hr_nonsense"
    assert reader.ask("POST", f"{QUEUE}/picture", json={}).status_code == 401


def test_looks_do_not_spend_what_a_key_may_ask(http: TestClient) -> None:
    asker = Asker(http, per_minute=3)
    told = asker.submit()
    assert {asker.ask("GET", told["status_url"]).status_code for _ in range(20)} == {202}
    found = [asker.ask("GET", f"{QUEUE}/a/b/requests/{uuid4()}/status").status_code for _ in range(4)]
    assert found == [404, 404, 429, 429]


def test_what_is_wished_besides_reaches_the_job(asker: Asker) -> None:
    told = asker.submit(headers={"x-fal-queue-priority": "low"}, params={"fal_webhook": "https://me.example/hook"})
    kept, priority = one(
        "select j.webhook, r.priority from jobs j join job_runs r on r.job_id = j.id where j.id = %s",
        told["request_id"],
    )
    assert (kept["url"], kept["dialect"]) == ("https://me.example/hook", "fal")
    normal = asker.submit(headers={"x-fal-queue-priority": "normal"})
    assert priority < one("select priority from job_runs where job_id = %s", normal["request_id"])[0]


def test_a_run_that_outlasts_the_wait_says_to_send_it_again_and_is_then_the_same(asker: Asker) -> None:
    first = asker.ask("POST", f"{RUN}/picture", json={"seed": 5})
    assert (first.status_code, first.json()["error_type"]) == (429, "request_in_progress")
    again = asker.ask("POST", f"{RUN}/picture", json={"seed": 5})
    assert again.headers["x-fal-request-id"] == first.headers["x-fal-request-id"]
    assert again.headers["idempotent-replayed"] == "true"
    asker.ask("POST", f"{RUN}/picture", json={"seed": 6})
    assert asker.jobs() == 2
    assert asker.ask("GET", first.json()["status_url"]).json()["status"] == "IN_QUEUE"


def test_a_start_time_out_calls_off_what_has_not_begun_and_nothing_else(asker: Asker) -> None:
    told, begun = (asker.submit(headers={"x-fal-request-timeout": "0.4"}) for _ in range(2))
    claimed(UUID(begun["request_id"]))
    eventually(lambda: asker.ask("GET", told["status_url"]).json()["status"] == "COMPLETED")
    result = asker.ask("GET", told["response_url"])
    assert (result.status_code, result.headers["x-fal-request-timeout-type"]) == (504, "user")
    assert asker.ask("GET", told["status_url"]).json()["error_type"] == "request_timeout"
    assert asker.ask("GET", begun["status_url"]).json()["status"] == "IN_PROGRESS"
    assert balance(asker.account_id) == (49, 1)


def test_one_whose_run_does_not_begin_in_time_is_refused_for_good(asker: Asker) -> None:
    answer = asker.ask("POST", f"{RUN}/picture", json={}, headers={"x-fal-request-timeout": "0.1"})
    assert (answer.status_code, answer.headers["x-fal-request-timeout-type"]) == (504, "user")
    assert balance(asker.account_id) == (50, 0)


def test_the_proxy_answers_as_the_route_that_is_meant(asker: Asker) -> None:
    told = asker.ask("POST", PROXY, json={}, headers={TARGET: "https://queue.fal.run/fal-ai/flux/dev"}).json()
    base = f"https://queue.fal.run/fal-ai/flux/requests/{told['request_id']}"
    status = asker.ask("GET", PROXY, headers={TARGET: f"{base}/status?logs=1"})
    assert (status.status_code, status.json()["status"]) == (202, "IN_QUEUE")
    stray = asker.ask("GET", PROXY, headers={TARGET: f"{base}/status?logs=perhaps"})
    assert (stray.status_code, stray.json()["param"]) == (422, "logs")
    assert asker.ask("PUT", PROXY, headers={TARGET: f"{base}/cancel"}).status_code == 202
    assert asker.ask("GET", PROXY, headers={TARGET: base}).status_code == 400
    stream = asker.ask("GET", PROXY, headers={TARGET: f"{base}/status/stream?logs=0"})
    assert '"COMPLETED"' in stream.text
    asker.key = "hr_nonsense"
    assert asker.ask("GET", PROXY, headers={TARGET: base}).status_code == 401
    assert asker.ask("GET", PROXY).status_code == 401


def test_an_older_library_finds_the_queue_by_its_host(asker: Asker) -> None:
    host = {"host": "queue.api.test"}
    told = asker.ask("POST", f"{RUN}/picture", json={}, headers=host).json()
    address = f"{RUN}/headrace/picture/requests/{told['request_id']}"
    assert asker.ask("GET", f"{address}/status", headers=host).json()["status"] == "IN_QUEUE"
    assert asker.ask("PUT", f"{address}/cancel", headers=host).status_code == 202
    assert asker.ask("GET", address, headers=host).status_code == 400


def picture(colour: str = "red") -> bytes:
    """A small picture."""
    out = io.BytesIO()
    Image.new("RGB", (8, 8), colour).save(out, "PNG")
    return out.getvalue()


def test_a_file_is_sent_with_a_token_or_a_key_and_is_an_input_then(asker: Asker) -> None:
    given = asker.ask("POST", f"{REST}/storage/auth/token?storage_type=fal-cdn-v3", json={}).json()
    assert given["base_url"] == f"{PUBLIC}{CDN}"
    assert given["expires_at"].endswith("+00:00")
    headers = {
        "authorization": f"{given['token_type']} {given['token']}",
        "x-fal-file-name": "a.png",
        "content-type": "image/png",
    }
    sent = asker.ask("POST", f"{CDN}/files/upload", content=picture(), headers=headers).json()
    assert asker.http.get(sent["access_url"]).content == picture()
    same = asker.ask("POST", f"{CDN}/files/upload", content=picture()).json()
    assert same == sent
    told = asker.submit("edit", json={"image_url": sent["access_url"]})
    assert one("select input->>'image_url' from jobs where id = %s", told["request_id"])[0].startswith("file_")
    spent = asker.http.post(f"{QUEUE}/picture", json={}, headers={"authorization": headers["authorization"]})
    assert spent.status_code == 401  # such a token does nothing else
    with transaction() as conn:
        conn.execute("update api_keys set revoked_at = app_now() where account_id = %s", [asker.account_id])
    assert asker.ask("POST", f"{CDN}/files/upload", content=picture("blue"), headers=headers).status_code == 401


def test_a_file_is_put_to_the_address_that_was_asked_for_without_a_key(asker: Asker) -> None:
    notice = {"file_name": "a.png", "content_type": "image/png"}
    given = asker.ask("POST", f"{REST}/storage/upload/initiate?storage_type=gcs", json=notice).json()
    assert asker.http.get(given["file_url"]).status_code == 404
    for colour in ("red", "red", "blue"):  # sent again it stays what it was
        answer = asker.http.put(given["upload_url"], content=picture(colour), headers={"content-type": "image/png"})
        assert (answer.status_code, answer.json()) == (200, {}), answer.text
    assert asker.http.get(given["file_url"]).content == picture("red")
    told = asker.submit("edit", json={"image_url": given["file_url"]})
    assert told["request_id"]
    assert rows("select count(*) from uploads where account_id = %s", asker.account_id) == [(1,)]
    forged = almost(given["upload_url"])
    assert asker.http.put(forged, content=picture()).status_code == 404


def test_the_keys_of_webhooks_are_open_to_all(http: TestClient) -> None:
    found = http.get(f"{REST}/.well-known/jwks.json").json()
    assert found["keys"][0]["crv"] == "Ed25519"
