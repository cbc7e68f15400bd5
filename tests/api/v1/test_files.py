"""Files of clients: what is taken, what is refused and why, whose they are, and that they count as storage."""

import base64
import os
import resource
import threading
import tracemalloc
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from uuid import uuid4

import pytest
from starlette.testclient import TestClient

from api.main import make_app
from cli.embedded.servers import Addresses
from common.errors import StorageQuotaExceeded
from common.scratch import scratch_file
from models.db import transaction
from models.files.uploads import id_of
from storage import keys
from storage.s3 import storage
from tests.conftest import environment
from tests.files import huge_png, picture
from tests.storage.between import between_us_and
from tests.support import SCHEMA, account, assert_books_are_clean, key_of, model, one, rows, uploaded

pytestmark = [
    pytest.mark.usefixtures("database"),
    # Starlette's test client still uses what AnyIO and httpx are about to rename.
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
]

PHOTO = {"photo": {"type": "string", "format": "image"}, "voice": {"type": "string", "format": "audio"}}


def data_uri(data: bytes, media_type: str = "image/png") -> str:
    return f"data:{media_type};base64,{base64.b64encode(data).decode()}"


@pytest.fixture
def http(database: str) -> Iterator[TestClient]:
    model("with-photo", input_schema={**SCHEMA, "properties": {**SCHEMA["properties"], **PHOTO}})
    with TestClient(make_app(), raise_server_exceptions=False) as client:
        yield client


@pytest.fixture
def who():
    return account(amount=50)


@pytest.fixture
def head(who) -> dict[str, str]:
    return {"authorization": f"Bearer {key_of(who)}"}


def sent(http: TestClient, head: dict[str, str], data: bytes, name: str = "a.png", media_type: str = "image/png"):
    return http.post("/v1/files", files={"file": (name, data, media_type)}, headers=head)


def objects() -> list[str]:
    return [item.key for item in storage().list_page(keys.UPLOADS, None, 1000)]


def used(who) -> int:
    return one("select storage_bytes from accounts where id = %s", who)[0]


def order(http: TestClient, head: dict[str, str], **values: object):
    return http.post("/v1/jobs", json={"model": "with-photo", "input": values}, headers=head)


def test_a_file_is_taken_shown_listed_fetched_and_deleted(http, head, who) -> None:
    before = set(objects())
    data = picture()
    answer = sent(http, head, data, "../../etc/passwd", "text/html")
    assert answer.status_code == 201, answer.text
    made = answer.json()
    assert answer.headers["location"] == f"/v1/files/{made['id']}"
    assert made["id"].startswith("file_")
    assert (made["object"], made["media_type"], made["size_bytes"]) == ("file", "image/png", len(data))
    assert (made["width"], made["height"], made["duration_seconds"]) == (30, 20, None)
    assert http.get(f"/v1/files/{made['id']}", headers=head).json() == made
    assert http.get(f"/v1/files/{id_of(made['id'])}", headers=head).json() == made
    assert http.get("/v1/files", headers=head).json() == {"data": [made], "next": None}
    path = made["url"].partition("/files/")[2]
    fetched = http.get(f"/files/{path}")
    assert (fetched.content, fetched.headers["content-type"]) == (data, "image/png")
    assert fetched.headers["content-length"] == str(len(data))
    assert set(objects()) - before == {keys.upload_key(who, id_of(made["id"]), "png")}
    assert used(who) == len(data)
    assert_books_are_clean()

    assert http.delete(f"/v1/files/{made['id']}", headers=head).status_code == 204
    assert http.delete(f"/v1/files/{made['id']}", headers=head).status_code == 404
    assert http.get(f"/v1/files/{made['id']}", headers=head).status_code == 404
    assert http.get("/v1/files", headers=head).json()["data"] == []
    gone = http.get(f"/files/{path}")
    assert (gone.status_code, gone.json()["reason"]) == (410, "deleted")
    assert used(who) == 0
    assert_books_are_clean()


def test_a_data_uri_is_taken_and_its_claim_is_not_believed(http, head) -> None:
    answer = http.post("/v1/files", json={"data": data_uri(picture("JPEG"), "image/png")}, headers=head)
    assert (answer.status_code, answer.json()["media_type"]) == (201, "image/jpeg")


@pytest.mark.parametrize(("data", "reason"), [
    (b"", "empty_file"), (b"<html><script>alert(1)</script></html>", "unknown_file"), (b"plain text", "unknown_file"),
    (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "unknown_file"), (b'{"a": 1}', "unknown_file"), (b"MZ\x90\x00", "unknown_file"),
    (b"%PDF-1.7", "unknown_file"), (b"#EXTM3U\nfile:///etc/passwd", "unknown_file"), (picture()[:50], "broken_file"),
    (b"\x89PNG\r\n\x1a\n", "broken_file"), (huge_png(), "file_too_large"), (huge_png(9000), "file_too_large"),
])  # fmt: skip
def test_what_is_no_picture_sound_or_film_is_refused_and_not_stored(http, head, who, data: bytes, reason: str) -> None:
    before = objects()
    as_form = sent(http, head, data)
    as_json = http.post("/v1/files", json={"data": data_uri(data)}, headers=head)
    for answer, param in ((as_form, "file"), (as_json, "data")):
        body = answer.json()
        assert (answer.status_code, body["code"], body["reason"], body["param"]) == (
            422,
            "unusable_file",
            reason,
            param,
        )
    assert (objects(), used(who)) == (before, 0)


@pytest.mark.parametrize(("body", "status"), [
    ({"data": "data:image/png;base64,!!!"}, 422), ({"data": "data:image/png,abc"}, 422), ({"data": "http://x.com/"}, 422),
    ({"data": ""}, 422), ({"data": 5}, 422), ({}, 422), ({"data": "data:;base64,AA==AAAA"}, 422), ([], 400),
])  # fmt: skip
def test_a_body_that_holds_no_data_uri_is_refused(http, head, body: object, status: int) -> None:
    assert http.post("/v1/files", json=body, headers=head).status_code == status


def test_a_form_without_a_file_or_with_two_is_refused(http, head) -> None:
    elsewhere = http.post("/v1/files", files={"photo": ("a.png", picture())}, headers=head)
    assert (elsewhere.status_code, elsewhere.json()["param"]) == (422, "photo")
    text = {**head, "content-type": "multipart/form-data; boundary=x"}
    no_file = b'--x\r\ncontent-disposition: form-data; name="file"\r\n\r\ntext\r\n--x--\r\n'
    assert http.post("/v1/files", content=no_file, headers=text).json()["param"] == "file"
    two = [("file", ("a.png", picture())), ("file", ("b.png", picture()))]
    assert http.post("/v1/files", files=two, headers=head).status_code == 400
    broken = {**head, "content-type": "multipart/form-data; boundary=x"}
    assert http.post("/v1/files", content=b"nonsense", headers=broken).status_code == 400
    assert (
        http.post("/v1/files", content=b"x", headers={**head, "content-type": "multipart/form-data"}).status_code == 400
    )


def test_forms_have_a_limit_of_their_own_and_nothing_else_has(http, head, who) -> None:
    with environment({"MAX_UPLOAD_BYTES": "2000000", "MAX_BODY_BYTES": "100000"}):
        large = picture("PNG") + bytes(1_500_000)  # what follows a picture is let be
        assert sent(http, head, large).status_code == 201
        refused = sent(http, head, bytes(2_000_001))
        assert (refused.status_code, refused.json()["reason"]) == (422, "file_too_large")
        assert sent(http, head, bytes(3_000_000)).status_code == 413
        begin = b'--x\r\ncontent-disposition: form-data; name="file"; filename="a.png"\r\n\r\n'
        chunked = http.post(
            "/v1/files", content=(part for part in [begin, *[bytes(100_000)] * 40, b"\r\n--x--\r\n"]),
            headers={**head, "content-type": "multipart/form-data; boundary=x"},
        )  # fmt: skip
        assert (chunked.status_code, chunked.json()["code"]) == (413, "body_too_large")
        assert http.post("/v1/files", json={"data": data_uri(large)}, headers=head).status_code == 413
        form = {**head, "content-type": "multipart/form-data; boundary=x"}
        assert http.post("/v1/jobs", content=bytes(200_000), headers=form).status_code == 413


def test_a_body_that_comes_in_pieces_ends_at_the_limit(http, head) -> None:
    """It does not say beforehand how long it is."""
    with environment({"MAX_BODY_BYTES": "100000"}):
        for path in ("/v1/jobs", "/v1/quotes", "/v1/files"):
            sent = [0]

            def pieces(sent: list[int] = sent) -> Iterator[bytes]:
                yield b'{"model": "'
                for _ in range(40):
                    sent[0] += 1
                    yield b"x" * 10_000
                yield b'"}'

            answer = http.post(path, content=pieces(), headers={**head, "content-type": "application/json"})
            assert (answer.status_code, answer.json()["code"], answer.json()["limit"]) == (
                413,
                "body_too_large",
                100_000,
            )


def test_nobody_else_sees_an_upload_and_nobody_sends_one_without_a_key(http, head) -> None:
    made = sent(http, head, picture()).json()
    other = {"authorization": f"Bearer {key_of(account(amount=50))}"}
    for method in ("GET", "DELETE"):
        assert http.request(method, f"/v1/files/{made['id']}", headers=other).status_code == 404
    assert http.get("/v1/files", headers=other).json()["data"] == []
    refused = order(http, other, photo=made["id"])
    assert (refused.status_code, refused.json()["param"]) == (404, "input.photo")
    assert http.post("/v1/files", files={"file": ("a.png", picture())}).status_code == 401
    for odd in ("x", "file_", "file_x", str(uuid4()), "file_" + "0" * 40):
        assert http.get(f"/v1/files/{odd}", headers=head).status_code == 404, odd
    assert http.get("/v1/files/%00", headers=head).status_code == 422


def test_a_full_account_is_told_before_anything_is_stored(http, head, who) -> None:
    data, before = picture(), objects()
    quota = one("select storage_quota_bytes from plans p join accounts a on a.plan_id = p.id where a.id = %s", who)[0]
    with transaction() as conn:
        conn.execute("update accounts set storage_bytes = %s where id = %s", [quota - len(data) + 1, who])
    refused = sent(http, head, data)
    body = refused.json()
    assert (refused.status_code, body["code"]) == (403, "storage_quota_exceeded")
    assert (body["quota_bytes"], body["size_bytes"]) == (quota, len(data))
    assert objects() == before
    with transaction() as conn:
        conn.execute("update accounts set storage_bytes = %s where id = %s", [quota - len(data), who])
    assert sent(http, head, data).status_code == 201


def test_uploads_at_the_same_moment_do_not_share_the_last_room(database, who) -> None:
    data = picture()
    quota = one("select storage_quota_bytes from plans p join accounts a on a.plan_id = p.id where a.id = %s", who)[0]
    with transaction() as conn:
        conn.execute("update accounts set storage_bytes = %s where id = %s", [quota - len(data), who])
    gate = threading.Barrier(4)

    def send(_n: int) -> bool:
        gate.wait()
        try:
            uploaded(who, [data])
        except StorageQuotaExceeded:
            return False
        return True

    with ThreadPoolExecutor(4) as threads:
        assert sum(threads.map(send, range(4))) == 1
    assert used(who) == quota
    assert len([key for key in objects() if str(who) in key]) == 1, "what had no room was taken away again"


def test_a_large_file_is_never_whole_in_memory(database, who) -> None:
    head = picture()
    uploaded(who, [head])  # boto3's own models are read at the first call
    tracemalloc.start()
    try:
        made = uploaded(who, (part for part in [head, *[bytes(65536)] * 600]))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert made.size_bytes == len(head) + 600 * 65536
    assert peak < 8_000_000


def test_the_openapi_document_says_how_a_file_is_sent(http) -> None:
    post = http.get("/openapi.json").json()["paths"]["/v1/files"]["post"]
    assert set(post["requestBody"]["content"]) == {"multipart/form-data", "application/json"}
    assert post["security"] == [{"key": ["generate"]}]


def test_pages_of_files(http, head) -> None:
    made = [sent(http, head, picture(size=(10 + n, 10))).json()["id"] for n in range(3)]
    first = http.get("/v1/files?limit=2", headers=head).json()
    second = http.get(f"/v1/files?limit=2&cursor={first['next']}", headers=head).json()
    assert [each["id"] for each in first["data"] + second["data"]] == made[::-1]
    assert second["next"] is None
    assert http.get("/v1/files?cursor=x", headers=head).status_code == 422


# As inputs of jobs


def test_a_job_takes_an_upload_by_either_spelling_of_its_id_and_renews_it(http, head) -> None:
    made = sent(http, head, picture()).json()
    with transaction() as conn:
        conn.execute("update uploads set expires_at = app_now() + interval '1 minute'")
    for given in (made["id"], str(id_of(made["id"]))):
        answer = order(http, head, photo=given)
        assert (answer.status_code, answer.json()["input"]["photo"]) == (201, made["id"])
    assert one("select expires_at > app_now() + interval '23 hours' from uploads")[0]
    again = http.post(f"/v1/jobs/{answer.json()['id']}/cancel", headers=head)
    assert again.json()["status"] == "canceled"
    http.delete(f"/v1/files/{made['id']}", headers=head)
    retried = http.post(f"/v1/jobs/{answer.json()['id']}/retry", headers=head)
    assert (retried.status_code, retried.json()["param"]) == (404, "input.photo")


def test_a_data_uri_becomes_an_upload_and_the_same_bytes_only_one(http, head, who) -> None:
    data = picture()
    first = order(http, head, photo=data_uri(data)).json()
    second = order(http, head, photo=data_uri(data, "image/webp")).json()
    assert first["input"]["photo"] == second["input"]["photo"]
    assert first["input"]["photo"].startswith("file_")
    assert len(rows("select 1 from uploads")) == 1
    assert used(who) == len(data)
    assert_books_are_clean()


@pytest.mark.parametrize(("value", "status", "code"), [
    ("http://127.0.0.1/a.png", 422, "refused_address"), ("http://2130706433/", 422, "refused_address"),
    ("http://169.254.169.254/latest/", 422, "refused_address"), ("http://localhost/", 422, "refused_address"),
    ("http://u:p@example.com/", 422, "refused_address"), ("http://example.com:22/", 422, "refused_address"),
    ("file:///etc/passwd", 422, "invalid_input"), ("a photo", 422, "invalid_input"), ("", 422, "invalid_input"),
    ("file_5e0a4bb05f764ad08f1c0b9d6f0c2a11", 404, "not_found"), ("5e0a4bb0-5f76-4ad0-8f1c-0b9d6f0c2a12", 404, "not_found"),
    ("data:image/png;base64,????", 422, "unusable_file"), (data_uri(b"text"), 422, "unusable_file"),
    (data_uri(huge_png()), 422, "unusable_file"), (5, 422, "invalid_input"),
])  # fmt: skip
def test_an_input_that_is_no_usable_file_is_refused_by_its_name_and_costs_nothing(
    http, head, who, value, status, code
) -> None:
    answer = order(http, head, photo=value)
    body = answer.json()
    assert (answer.status_code, body["code"], body["param"]) == (status, code, "input.photo")
    assert rows("select 1 from jobs") == []
    assert used(who) == 0


def test_a_picture_is_no_voice(http, head, who) -> None:
    made = sent(http, head, picture()).json()["id"]
    for given in (made, data_uri(picture()), data_uri(picture(colour="blue"))):
        answer = order(http, head, voice=given)
        assert (answer.status_code, answer.json()["reason"], answer.json()["param"]) == (
            422,
            "unwanted_file",
            "input.voice",
        )
    assert len(rows("select 1 from uploads")) == 1


def test_an_address_is_accepted_unresolved_and_models_without_files_are_left_alone(http, head) -> None:
    url = "https://photos.example/a.png?x=1"
    assert order(http, head, photo=url).json()["input"]["photo"] == url
    assert "photo" not in order(http, head).json()["input"]
    plain = http.post(
        "/v1/jobs", json={"model": "sketch-image", "input": {"prompt": "http://127.0.0.1/"}}, headers=head
    )
    assert plain.status_code == 201


# Our own disk


@contextmanager
def full_disk(limit: int) -> Iterator[None]:
    """Files of this process cannot grow beyond so many bytes: to who writes them, as a full disk."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.parametrize("kind", ["form", "large_form", "data", "input"])
def test_an_upload_that_does_not_fit_on_our_disk_is_not_begun_and_may_be_sent_again(http, head, who, kind: str) -> None:
    data = picture() + bytes(2_000_000 if kind == "large_form" else 500_000)
    send = {
        "form": lambda: sent(http, head, data),
        "large_form": lambda: sent(http, head, data),  # more than Starlette keeps in memory
        "data": lambda: http.post("/v1/files", json={"data": data_uri(data)}, headers=head),
        "input": lambda: order(http, head, photo=data_uri(data)),
    }[kind]
    before = objects()
    with full_disk(300_000):
        refused = send()
    body = refused.json()
    assert (refused.status_code, body["code"], body["retryable"]) == (503, "unavailable", True)
    assert int(refused.headers["retry-after"]) >= 1
    assert (objects(), rows("select 1 from uploads"), rows("select 1 from jobs"), used(who)) == (before, [], [], 0)
    with scratch_file() as file:
        assert os.listdir(os.path.dirname(file.name)) == [os.path.basename(file.name)]
    assert send().status_code == 201
    assert_books_are_clean()


def test_an_upload_that_s3_hurts_or_loses_is_refused_and_may_be_sent_again(http, head, who, stack: Addresses) -> None:
    with between_us_and(stack.s3_endpoint_url) as line, environment({"S3_ENDPOINT_URL": line.url}):
        for wrong in ("hurt", "short", "lost"):
            line.be(wrong)
            for refused in (sent(http, head, picture()), order(http, head, photo=data_uri(picture()))):
                assert (refused.status_code, refused.json()["code"]) == (503, "unavailable")
        assert (rows("select 1 from uploads"), rows("select 1 from jobs"), used(who)) == ([], [], 0)
        line.be("")
        made = sent(http, head, picture())
        assert made.status_code == 201
        assert http.get(f"/files/{made.json()['url'].partition('/files/')[2]}").content == picture()
