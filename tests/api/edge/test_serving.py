"""Files when S3 is away, silent, breaks off or has lost them; what is asked for in part, on a condition or by HEAD."""

import hashlib
import http.client
import os
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple
from urllib.parse import urlsplit
from uuid import UUID

import httpx
import pytest
from uuid_utils.compat import uuid7

from cli.embedded.servers import Addresses
from common.links import token_of
from models.db import transaction
from storage import keys
from storage.s3 import storage
from tests.conftest import environment
from tests.files import picture
from tests.storage.between import Between, between_us_and
from tests.support import System, account, eventually, model, placed

BODY = os.urandom(3_000_000)
THUMBNAIL = picture("WEBP")


class File(NamedTuple):
    id: UUID
    path: str
    key: str
    thumbnail_key: str


@pytest.fixture
def line(stack: Addresses) -> Iterator[Between]:
    with between_us_and(stack.s3_endpoint_url) as between:
        yield between


@pytest.fixture
def api(line: Between, system: System) -> Iterator[System]:
    """An API process to which S3 is at the other end of the line; this process has its own."""
    with environment({}):
        system.start("api", api={"S3_ENDPOINT_URL": line.url, "S3_SECONDS": "0.5"})
        yield system
        line.be("")


@pytest.fixture
def file(api: System) -> File:
    return stored()


def stored() -> File:
    """A result that is stored, with its thumbnail."""
    who = account(amount=10)
    job, asset = placed(who, model()), uuid7()
    digest = hashlib.sha256(BODY).digest()
    key, thumbnail_key = (
        keys.result_key(who, job, 1, 0, digest, "mp4"),
        keys.thumbnail_key(who, job, 1, 0, digest, "webp"),
    )
    storage().put_bytes(key, BODY, "application/octet-stream")
    storage().put_bytes(thumbnail_key, THUMBNAIL, "image/webp")
    with transaction() as conn:
        conn.execute(
            """insert into assets (id, job_id, account_id, index, key, media_type, size_bytes, sha256, expires_at,
                                   thumbnail_key, thumbnail_bytes)
               values (%s, %s, %s, 0, %s, 'video/mp4', %s, %s, app_now() + interval '1 day', %s, %s)""",
            [asset, job, who, key, len(BODY), digest, thumbnail_key, len(THUMBNAIL)],
        )
    return File(asset, f"/files/{token_of(asset)}", key, thumbnail_key)


def ask(api: System, path: str, method: str = "GET", **headers: str) -> httpx.Response:
    sent = {name.replace("_", "-"): value for name, value in headers.items()}
    return httpx.request(method, api.url + path, headers=sent, timeout=30)


def assert_away(answer: httpx.Response) -> None:
    assert answer.status_code == 503
    assert int(answer.headers["retry-after"]) >= 1
    if answer.request.method != "HEAD":
        body = answer.json()
        assert (answer.headers["content-type"], body["code"]) == ("application/problem+json", "unavailable")
        assert body["retryable"] is True


KINDS: list[tuple[str, str, dict[str, str]]] = [
    ("", "GET", {}), ("", "GET", {"range": "bytes=5-9"}), ("", "HEAD", {}), ("?thumbnail=1", "GET", {}),
    ("?thumbnail=1", "GET", {"range": "bytes=5-9"}), ("?thumbnail=1", "HEAD", {}),
]  # fmt: skip


@pytest.mark.parametrize("wrong", ["away", "silent"])
def test_while_s3_is_away_every_kind_of_request_gets_a_503_and_then_the_file(
    api: System, line: Between, file: File, wrong: str
) -> None:
    line.be(wrong)
    for query, method, headers in KINDS:
        assert_away(ask(api, file.path + query, method, **headers))
    line.be("")
    for query, method, headers in KINDS:
        assert ask(api, file.path + query, method, **headers).is_success
    assert "Traceback" not in api.processes.log("api").read_text()


def test_an_upload_is_served_in_the_same_way(api: System, line: Between) -> None:
    with api.client(account(amount=10)) as client:
        made = client.post("/v1/files", files={"file": ("a.png", picture())}).json()
        path = urlsplit(made["url"]).path
        line.be("away")
        assert_away(ask(api, path))
        sent = client.post("/v1/files", files={"file": ("a.png", picture())})
        assert_away(sent)
        line.be("")
        assert ask(api, path).content == picture()


def test_where_s3_stops_before_the_first_byte_the_status_is_503(api: System, line: Between, file: File) -> None:
    line.be("cut", keep=0)
    for query, method, headers in KINDS:
        if method == "GET":
            assert_away(ask(api, file.path + query, **headers))


@pytest.mark.parametrize(("headers", "keep"), [({}, 1_000_000), ({}, len(BODY) - 1), ({"range": "bytes=10-"}, 999_999)])
def test_where_s3_breaks_off_later_the_client_notices(
    api: System, line: Between, file: File, headers: dict[str, str], keep: int
) -> None:
    line.be("cut", keep=keep)
    got = bytearray()
    with pytest.raises(httpx.RemoteProtocolError):
        with httpx.stream("GET", api.url + file.path, headers=headers) as answer:
            assert answer.status_code in {200, 206}
            for chunk in answer.iter_bytes():
                got += chunk
    start = 10 if headers else 0
    assert 0 < len(got) <= keep
    assert bytes(got) == BODY[start : start + len(got)]
    line.be("")
    rest = ask(api, file.path, range=f"bytes={start + len(got)}-", if_range=answer.headers["etag"])
    assert (rest.status_code, bytes(got) + rest.content) == (206, BODY[start:]), "and can go on where it was cut off"
    assert "Traceback" not in api.processes.log("api").read_text()


def test_a_connection_that_was_cut_off_is_not_used_for_another_answer(api: System, line: Between, file: File) -> None:
    line.be("cut", keep=1_000_000)
    connection = http.client.HTTPConnection(str(urlsplit(api.url).hostname), urlsplit(api.url).port, timeout=30)
    connection.request("GET", file.path)
    with pytest.raises(http.client.IncompleteRead):
        connection.getresponse().read()
    connection.close()


def lost(answer: httpx.Response) -> bool:
    if answer.request.method == "HEAD":
        return answer.status_code == 410
    body: dict[str, Any] = answer.json()
    return (answer.status_code, body["code"], body.get("reason")) == (410, "result_gone", "lost")


def test_a_file_that_is_missing_or_another_than_was_stored_is_lost_and_said_so(api: System, file: File) -> None:
    for damage in (None, BODY[:-1], BODY + b"x", b""):
        storage().delete_many([file.key, file.thumbnail_key])
        if damage is not None:
            storage().put_bytes(file.key, damage, "video/mp4")
        for query, method, headers in KINDS:
            if damage is None or not query:
                answer = ask(api, file.path + query, method, **headers)
                assert lost(answer), (damage and len(damage), query, method, headers, answer.status_code)
                assert answer.headers["cache-control"] == "no-store"
    log = api.processes.log("api").read_text()
    assert str(file.id) in log
    assert "Traceback" not in log


def test_a_silent_s3_keeps_no_other_route_waiting(line: Between, system: System) -> None:
    system.start("api", api={"S3_ENDPOINT_URL": line.url, "S3_SECONDS": "30"})
    file = stored()
    line.be("silent")
    threads = [threading.Thread(target=ask, args=(system, file.path)) for _ in range(60)]
    for thread in threads:
        thread.start()
    eventually(lambda: len(line.asked) >= 32, what="a crowd in front of S3")
    assert httpx.get(system.url + "/readyz", timeout=10).status_code == 200
    line.be("away")
    for thread in threads:
        thread.join()


def test_a_hung_bucket_is_told_within_the_time_for_a_first_byte_and_its_crowd_by_a_clear_refusal(
    line: Between, system: System
) -> None:
    """More ask than there are threads: who has none waits for a while, and is told to come again. Nobody else notices."""
    system.start("api", api={
        "S3_ENDPOINT_URL": line.url, "FIRST_BYTE_SECONDS": "1", "FILES_AT_ONCE": "4", "PLACE_WAIT_SECONDS": "1",
    })  # fmt: skip
    file = stored()
    line.be("silent")
    with ThreadPoolExecutor(45) as crowd, system.client(account(amount=10)) as client:
        asked = [crowd.submit(ask, system, file.path) for _ in range(45)]
        eventually(lambda: len(line.asked) >= 4, what="a crowd in front of S3")
        for path in ("/healthz", "/readyz", "/v1/jobs", "/v1/plans", "/v1/models", "/v1/credits", "/v1/keys"):
            assert client.get(path, timeout=5).status_code == 200, path
        assert client.post("/v1/quotes", json={"model": "sketch-image", "input": {"prompt": "a"}}).status_code == 200
        answers = [each.result() for each in asked]
    assert {each.status_code for each in answers} == {503}
    assert {each.json()["code"] for each in answers} == {"overloaded", "unavailable"}
    assert all(int(each.headers["retry-after"]) >= 1 for each in answers)
    assert max(each.elapsed.total_seconds() for each in answers) < 25, "three tries of a second, and S3_SECONDS is 15"


def test_uploads_to_a_hung_bucket_keep_nobody_else_waiting_and_are_refused_when_too_many(
    line: Between, system: System
) -> None:
    system.start("api", api={
        "S3_ENDPOINT_URL": line.url, "S3_SECONDS": "3", "UPLOADS_AT_ONCE": "1", "PLACE_WAIT_SECONDS": "0.2",
        "UPLOADS_PER_ACCOUNT": "12",
    })  # fmt: skip
    line.be("silent")
    who = account(amount=10, plan="pro")
    with ThreadPoolExecutor(12) as crowd, system.client(who) as client:
        head = {"authorization": client.headers["authorization"]}

        def send(number: int) -> httpx.Response:
            form = {"file": ("a.png", picture(size=(10 + number, 10)))}
            return httpx.post(f"{system.url}/v1/files", files=form, headers=head, timeout=60)

        sent = [crowd.submit(send, number) for number in range(12)]
        eventually(lambda: len(line.asked) >= 1, what="an upload in front of S3")
        for path in ("/healthz", "/readyz", "/v1/jobs", "/v1/plans", "/v1/files", "/v1/keys"):
            assert client.get(path, timeout=5).status_code == 200, path
        line.be("away")
        answers = [each.result() for each in sent]
    assert {each.status_code for each in answers} == {503}
    assert "overloaded" in {each.json()["code"] for each in answers}


# In part, on a condition, by HEAD


def test_head_says_what_get_would(api: System, file: File) -> None:
    for query in ("", "?thumbnail=1"):
        head, get = ask(api, file.path + query, "HEAD", range="bytes=1-2"), ask(api, file.path + query)
        assert (head.status_code, head.content) == (200, b"")
        fixed = ("content-type", "content-length", "etag", "accept-ranges", "cache-control", "content-disposition")
        assert {name: head.headers[name] for name in fixed} == {name: get.headers[name] for name in fixed}
    assert ask(api, "/files/nonsense", "HEAD").status_code == 404


def test_a_part_of_a_file_or_of_a_thumbnail(api: System, file: File) -> None:
    for query, whole in (("", BODY), ("?thumbnail=1", THUMBNAIL)):
        answer = ask(api, file.path + query, range="bytes=5-9")
        assert (answer.status_code, answer.content) == (206, whole[5:10])
        assert answer.headers["content-range"] == f"bytes 5-9/{len(whole)}"
        assert ask(api, file.path + query, range="bytes=-7").content == whole[-7:]
        behind = ask(api, file.path + query, range=f"bytes={len(whole)}-")
        assert (behind.status_code, behind.headers["content-range"]) == (416, f"bytes */{len(whole)}")
        for odd in ("bytes=²-", "bytes=0-" + "9" * 5000, "bytes=a-b"):
            sent = odd.encode("latin-1")
            answer = httpx.get(api.url + file.path + query, headers=[(b"range", sent)])
            assert answer.content == whole, odd[:20]


def test_conditions_are_answered_without_s3(api: System, line: Between, file: File) -> None:
    for query in ("", "?thumbnail=1"):
        etag = ask(api, file.path + query).headers["etag"]
        line.be("away")
        for given in (etag, f'"other", {etag}', f"W/{etag}", "*"):
            for method in ("GET", "HEAD"):
                answer = ask(api, file.path + query, method, if_none_match=given)
                assert (answer.status_code, answer.content, answer.headers["etag"]) == (304, b"", etag)
        assert ask(api, file.path + query, if_match='"other"').status_code == 412
        line.be("")
        for given in (etag, "*"):
            assert ask(api, file.path + query, if_match=given).status_code == 200
        assert ask(api, file.path + query, if_none_match='"other"').status_code == 200
        whole = ask(api, file.path + query, range="bytes=0-1", if_range='"other"')
        assert (whole.status_code, len(whole.content)) == (200, int(whole.headers["content-length"]))
