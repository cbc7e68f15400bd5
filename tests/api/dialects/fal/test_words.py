"""Shapes, refusals and wishes of fal's dialect. Pure."""

import hashlib
import json
from base64 import urlsafe_b64decode
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import orjson
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from starlette.exceptions import HTTPException
from starlette.requests import Request

from api.dialects.fal.asking import start_seconds, wants_logs
from api.dialects.fal.proxy import HOSTS, target_of
from api.dialects.fal.refusals import speak_fal
from api.dialects.fal.streams import data_event
from api.edge.voices import PlainRefusal
from common.dialects.fal import PROXY, app_of, failure_of, request_result, request_status, webhook_body
from common.dialects.fal_signing import signed_headers, webhook_keys
from common.dialects.told import ToldFile, ToldJob
from common.errors import InvalidParameter

AT = datetime(2026, 11, 28, 12, tzinfo=UTC)
FILE = ToldFile("https://api.test/files/abc", None, "image/png", 5, 64, 32, None, None)


def job(status: Any = "succeeded", **more: Any) -> ToldJob:
    over = status in ("succeeded", "failed", "canceled")
    given: dict[str, Any] = {
        "id": UUID(int=7), "model": "picture", "version": 1, "kind": "image", "status": status, "input": {}, "files": [],
        "text": None, "error_code": None, "error_message": None, "created_at": AT, "started_at": None, "ended_at": AT if over else None,
        "progress": None, "position": None, "reason": None, "credits": None,
    }  # fmt: skip
    return ToldJob(**{**given, **more})


@pytest.mark.parametrize(
    ("name", "app"),
    [
        ("fal-ai/flux/dev", "fal-ai/flux"), ("fal-ai/flux", "fal-ai/flux"), ("picture", "headrace/picture"),
        ("headrace/picture", "headrace/picture"), ("workflows/me/mine/deep", "workflows/me/mine"), ("comfy/me/it", "comfy/me/it"),
    ],
)  # fmt: skip
def test_addresses_have_the_owner_and_the_alias_of_a_model_alone(name: str, app: str) -> None:
    assert app_of(name) == app


def test_a_picture_alone_is_told_as_one() -> None:
    assert "images" not in request_result(job(files=[FILE], outputs="one"))
    assert request_result(job(files=[FILE], outputs="one"))["image"]["url"] == FILE.url
    assert request_result(job(files=[FILE], outputs="list"))["images"][0]["url"] == FILE.url


@pytest.mark.parametrize("with_logs", [True, False])
@pytest.mark.parametrize("started", [None, AT - timedelta(seconds=3)])
@pytest.mark.parametrize("progress", [None, 40])
@pytest.mark.parametrize("status", ["queued", "running", "succeeded", "failed", "canceled"])
def test_each_status_has_the_keys_without_which_the_library_breaks(
    status: str, progress: int | None, started: datetime | None, with_logs: bool
) -> None:
    told = job(status, started_at=started, progress=progress, files=[FILE])
    found = json.loads(orjson.dumps(request_status(told, with_logs=with_logs)))
    assert found["status"] in ("IN_QUEUE", "IN_PROGRESS", "COMPLETED")
    if found["status"] == "IN_QUEUE":
        assert found["queue_position"] == 0
        return
    assert (found["logs"] is None) is (not with_logs)
    if with_logs:
        assert len(found["logs"]) == (0 if progress is None else 1)
    if found["status"] == "COMPLETED":
        assert found["metrics"] == ({} if started is None else {"inference_time": 3.0})
        assert ("error" in found) is ("error_type" in found) is (status != "succeeded")


def test_a_result_is_of_its_kind() -> None:
    film = FILE._replace(media_type="video/mp4", duration_seconds=2.5)
    picture = request_result(job(files=[FILE], input={"seed": 0, "prompt": "a harbour"}))
    assert picture["images"] == [
        {
            "url": FILE.url,
            "content_type": "image/png",
            "file_name": "abc.png",
            "file_size": 5,
            "width": 64,
            "height": 32,
        }
    ]
    assert (picture["seed"], picture["prompt"]) == (0, "a harbour")
    assert request_result(job(kind="video", files=[film]))["video"]["duration"] == 2.5
    assert request_result(job(kind="speech", files=[FILE]))["audio"]["url"] == FILE.url
    assert request_result(job(kind="text", text="so it is")) == {"output": "so it is", "partial": False}


@pytest.mark.parametrize(
    ("told", "status", "kind"),
    [
        (job("failed", error_code="moderated", error_message="no"), 422, "content_policy_violation"),
        (job("failed", error_code="invalid_input", error_message="no"), 422, "invalid_input"),
        (job("failed", error_code="provider_failed"), 500, "provider_failed"),
        (job("failed", error_code="timed_out"), 500, "generation_timeout"),
        (job("failed"), 500, "generation_failed"),
        (job("canceled"), 400, "client_cancelled"),
        (job(files=[]), 410, "result_gone"),
        (job(kind="text", text=None), 410, "result_gone"),
    ],
)
def test_what_has_no_result_says_why_by_a_status_that_nobody_sends_again_for(
    told: ToldJob, status: int, kind: str
) -> None:
    found = failure_of(told)
    assert found is not None
    assert (found.status, found.error_type) == (status, kind)
    assert found.detail
    assert webhook_body(told, "job.failed")["status"] == "ERROR"


def test_what_has_a_result_has_not_failed() -> None:
    assert failure_of(job(files=[FILE])) is None
    assert failure_of(job(kind="text", text="")) is None
    told = webhook_body(job(files=[FILE]), "job.succeeded")
    assert (told["status"], told["request_id"], len(told["payload"]["images"])) == ("OK", str(UUID(int=7)), 1)


def refused(status: int, code: str = "some_code", **more: Any) -> PlainRefusal:
    given: dict[str, Any] = {"param": None, "retryable": False, "extra": {}, **more}
    return PlainRefusal(
        status, code, "what is wrong", "A title", given["param"], given["retryable"], "the-id", given["extra"]
    )


@pytest.mark.parametrize("status", [408, 409, 429])
def test_a_status_that_is_tried_again_is_kept_for_what_may_be(status: int) -> None:
    assert speak_fal(refused(status, retryable=True)).status == status
    assert speak_fal(refused(status)).status not in (408, 409, 429)


def test_a_refusal_names_the_field_as_pydantic_does_and_its_request() -> None:
    found = speak_fal(refused(422, "invalid_input", param="input.loras.0.path", extra={"limit": 5}))
    assert found.body["detail"][0]["loc"] == ["body", "loras", 0, "path"]
    assert (found.body["message"], found.body["limit"]) == ("what is wrong", 5)
    assert found.headers["x-fal-request-id"] == "the-id"
    assert speak_fal(refused(402)).body["detail"] == "what is wrong"
    assert speak_fal(refused(401)).headers["www-authenticate"] == "Bearer"
    assert speak_fal(refused(400, "job_already_ended")).body["status"] == "ALREADY_COMPLETED"
    assert speak_fal(refused(500)).headers["x-fal-request-id"]


def asked(query: str = "", **headers: str) -> Request:
    return Request(
        {
            "type": "http", "method": "GET", "path": "/", "query_string": query.encode(),
            "headers": [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()],
        }
    )  # fmt: skip


@pytest.mark.parametrize(
    ("query", "wanted"), [("", False), ("logs=1", True), ("logs=true", True), ("logs=True", True), ("logs=false", False), ("logs=0", False)]
)  # fmt: skip
def test_both_libraries_say_whether_they_want_logs(query: str, wanted: bool) -> None:
    assert wants_logs(asked(query)) is wanted


def test_a_wish_that_cannot_be_read_is_refused_by_its_name() -> None:
    with pytest.raises(InvalidParameter) as odd:
        wants_logs(asked("logs=perhaps"))
    assert odd.value.param == "logs"
    for given in ("soon", "nan", "-1", "0", "inf", "1e9", ""):
        with pytest.raises(InvalidParameter) as late:
            start_seconds(asked(x_fal_request_timeout=given))
        assert late.value.param == "x-fal-request-timeout"
    assert start_seconds(asked(x_fal_request_timeout="12.0")) == 12.0
    assert start_seconds(asked()) is None


@pytest.mark.parametrize(
    ("address", "path", "query"),
    [
        ("https://queue.fal.run/a/b/requests/1?logs=1", "/compat/fal/queue/a/b/requests/1", b"logs=1"),
        ("https://fal.run/a/b", "/compat/fal/run/a/b", b""),
        ("https://FAL.run:443/a/b/", "/compat/fal/run/a/b/", b""),
        ("https://rest.fal.ai/storage/upload/initiate?x=1", "/compat/fal/rest/storage/upload/initiate", b"x=1"),
        ("https://fal.run/a%2fb", "/compat/fal/run/a/b", b""),
        ("https://fal.run", "/compat/fal/run/", b""),
        ("https://fal.run/../../v1/jobs", "/compat/fal/run/../../v1/jobs", b""),
    ],
)
def test_the_proxy_leads_to_our_own_routes(address: str, path: str, query: bytes) -> None:
    found = target_of(address)
    assert (found.path, found.query) == (path, query)
    assert not found.path.startswith(PROXY)


@pytest.mark.parametrize(
    "address",
    [
        "https://example.com/a", "https://fal.run.example.com/a", "ftp://fal.run/a", "https://me@fal.run/a", "https://fal.run:8080/a",
        "//fal.run/a", "fal.run/a", "", "https://[", "https://fal.run:x/a", "https://localhost/compat/fal/proxy", "https://evilfal.run/",
    ],
)  # fmt: skip
def test_what_is_no_address_of_fals_is_refused_by_the_proxy(address: str) -> None:
    with pytest.raises(HTTPException) as refusal:
        target_of(address)
    assert refusal.value.status_code == 400


def test_no_target_can_smuggle_what_cannot_be_stored() -> None:
    for address in ("https://fal.run/a%00b", "https://fal.run/a?x=%ff", "https://fal.run/%ff"):
        with pytest.raises(InvalidParameter):
            target_of(address)


def test_nothing_the_proxy_leads_to_is_the_proxy() -> None:
    assert all(not PROXY.startswith(each) and not each.startswith(PROXY) for each in HOSTS.values())


def test_an_event_is_one_line_whatever_it_says() -> None:
    event = data_event({"output": "a\u2028b\u0085c\nd\x0b", "at": AT}).decode()
    assert len(event.rstrip("\n").splitlines()) == 1
    assert json.loads(event.removeprefix("data: "))["output"] == "a\u2028b\u0085c\nd\x0b"


def test_a_webhook_is_signed_with_the_key_that_is_published() -> None:
    body = b'{"status":"OK"}'
    headers = signed_headers("the-request", "the-account", 1_790_000_000, body)
    published = webhook_keys()["keys"][0]
    key = Ed25519PublicKey.from_public_bytes(urlsafe_b64decode(published["x"] + "="))
    signed = "\n".join(("the-request", "the-account", "1790000000", hashlib.sha256(body).hexdigest()))
    key.verify(bytes.fromhex(headers["x-fal-webhook-signature"]), signed.encode())
    assert (published["kty"], published["crv"]) == ("OKP", "Ed25519")
