"""What S3 may answer and what becomes of it: worth trying again or not, missing or not, and nothing secret said."""

import hashlib
import socket
import traceback
from base64 import b64encode
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import boto3
import pytest

from storage.clients import boto_client, where
from storage.s3 import PART_BYTES, Storage, StorageError
from tests.storage.scripted import Reply, Scripted, failure

KEY = "results/a/b/1-0.png"
SESSION_TOKEN = "a-session-token-that-is-secret"
Operation = Callable[[Storage], Any]

OPERATIONS: dict[str, Operation] = {
    "put": lambda s: s.put_bytes(KEY, b"x", "image/png"),
    "put_parts": lambda s: s.put_bytes(KEY, bytes(PART_BYTES + 1), "image/png"),
    "get": lambda s: s.get_range(KEY),
    "delete": lambda s: s.delete_many([KEY]),
    "list": lambda s: s.list_page("results/", None, 10),
}


@pytest.fixture
def store(scripted: Storage) -> Storage:
    return scripted


def stored(data: bytes) -> Reply:
    """What S3 answers to a put and to a HEAD of these bytes."""
    return Reply(200, data, {"etag": f'"{hashlib.md5(data).hexdigest()}"'})


def refused(operation: Operation, store: Storage) -> StorageError:
    with pytest.raises(StorageError) as caught:
        operation(store)
    shown = "".join(traceback.format_exception(caught.value))
    for secret in ("the-secret-itself", SESSION_TOKEN):
        assert secret not in shown
    return caught.value


@pytest.mark.parametrize("name", OPERATIONS)
@pytest.mark.parametrize(
    ("reply", "retryable"),
    [
        (failure(403, "AccessDenied"), False),
        (failure(403, "SignatureDoesNotMatch", f"<CanonicalRequest>{SESSION_TOKEN}</CanonicalRequest>"), False),
        (failure(403, "InvalidAccessKeyId"), False),
        (failure(404, "NoSuchBucket"), False),
        (failure(400, "InvalidRequest"), False),
        (failure(501, "NotImplemented"), True),
        (failure(400, "RequestTimeout"), True),
        (failure(409, "OperationAborted"), True),
        (failure(429, "TooManyRequests"), True),
        (failure(503, "SlowDown"), True),
        (failure(500, "InternalError"), True),
        (Reply(502, b"<html>bad gateway</html>"), True),
        (Reply(400, b""), False),
    ],
    ids=lambda value: f"{value.status}-{value.body[:30].decode()}" if isinstance(value, Reply) else None,
)
def test_an_answer_says_whether_trying_again_helps(
    server: Scripted, store: Storage, name: str, reply: Reply, retryable: bool
) -> None:
    server.will(reply)
    error = refused(OPERATIONS[name], store)
    assert (error.retryable, error.missing) == (retryable, False)
    assert str(reply.status) in str(error)
    assert len(server.asked) <= 3


@pytest.mark.parametrize("name", OPERATIONS)
def test_a_wrong_region_is_not_worth_another_try(server: Scripted, store: Storage, name: str) -> None:
    reply = failure(301, "PermanentRedirect")
    reply.headers["x-amz-bucket-region"] = "eu-west-1"
    server.will(reply)
    error = refused(OPERATIONS[name], store)
    assert not error.retryable
    assert "S3_REGION" in str(error)


def test_a_missing_object_is_missing_and_a_missing_bucket_is_not(server: Scripted, store: Storage) -> None:
    server.will(failure(404, "NoSuchKey"))
    assert refused(OPERATIONS["get"], store).missing
    server.will(Reply(404), Reply(200))  # HEAD of the object, HEAD of the bucket
    error = refused(lambda s: s.head(KEY), store)
    assert (error.missing, error.retryable) == (True, False)
    server.will(Reply(404))
    error = refused(lambda s: s.head(KEY), store)
    assert (error.missing, error.code) == (False, "NoSuchBucket")


def test_a_short_failure_is_not_noticed(server: Scripted, store: Storage) -> None:
    busy, done = failure(503, "SlowDown"), stored(b"x")
    server.will(busy, busy, done)
    store.put_bytes(KEY, b"x", "image/png")
    assert [each.method for each in server.asked] == ["PUT"] * 3 + ["HEAD"]
    server.will(busy, busy, Reply(200, b"hello"))
    assert b"".join(store.get_range(KEY).chunks) == b"hello"


def test_every_put_signs_its_bytes_and_names_their_type(server: Scripted, store: Storage) -> None:
    server.will(stored(b"some bytes"))
    store.put_bytes(KEY, b"some bytes", "image/png")
    asked, _ = server.asked
    assert asked.body == b"some bytes"
    assert asked.headers["x-amz-content-sha256"] == sha256(b"some bytes").hexdigest()
    assert asked.headers["content-type"] == "image/png"


def test_deletes_carry_the_sum_that_older_servers_ask_for(server: Scripted, store: Storage) -> None:
    server.will(Reply(200, b"<DeleteResult/>"))
    assert store.delete_many([KEY]) == {}
    (asked,) = server.asked
    assert asked.headers["content-md5"] == b64encode(hashlib.md5(asked.body).digest()).decode()
    assert not [name for name in asked.headers if name.startswith("x-amz-checksum")]
    assert "content-md5" in asked.headers["authorization"]


def test_objects_that_stay_are_named_with_the_reason(server: Scripted, store: Storage) -> None:
    body = (
        "<DeleteResult>"
        "<Error><Key>a</Key><Code>InternalError</Code><Message>later</Message></Error>"
        "<Error><Key>b</Key><Code>NoSuchKey</Code><Message>gone</Message></Error>"
        "</DeleteResult>"
    )
    server.will(Reply(200, body.encode()))
    assert store.delete_many(["a", "b", "c"]) == {"a": "InternalError: later"}


def test_an_object_cut_off_in_the_middle_is_worth_another_try(server: Scripted, store: Storage) -> None:
    server.will(Reply(200, bytes(1_000_000), cut=1000))
    chunks = store.get_range(KEY).chunks
    assert refused(lambda _: list(chunks), store).retryable


def test_an_upload_that_ends_short_is_not_taken_for_whole(server: Scripted, store: Storage) -> None:
    begun = Reply(200, b"<InitiateMultipartUploadResult><UploadId>u</UploadId></InitiateMultipartUploadResult>")
    part = Reply(200, b"", {"etag": '"p"'})
    ended = Reply(200, b'<CompleteMultipartUploadResult><ETag>"e"</ETag></CompleteMultipartUploadResult>')
    for found in (Reply(200, bytes(PART_BYTES)), Reply(404)):
        server.will(begun, part, part, ended, found, Reply(200))
        assert refused(OPERATIONS["put_parts"], store).retryable


def test_nobody_there_is_worth_another_try(server: Scripted) -> None:
    with socket.socket() as taken:  # bound but not listening: refuses
        taken.bind(("127.0.0.1", 0))
        away = Storage(server.settings(s3_endpoint_url=f"http://127.0.0.1:{taken.getsockname()[1]}"))
        for operation in OPERATIONS.values():
            error = refused(operation, away)
            assert (error.retryable, error.missing) == (True, False)
        away.close()


def test_an_endpoint_that_is_no_url_is_refused_at_once(server: Scripted) -> None:
    """Most are refused with the settings (tests/common/test_places.py); this one boto3 alone does not take."""
    with pytest.raises(StorageError, match="S3_ENDPOINT_URL") as caught:
        Storage(server.settings(s3_endpoint_url="http://under_score:9000"))
    assert not caught.value.retryable


def test_half_a_pair_of_keys_is_refused(server: Scripted) -> None:
    with pytest.raises(ValueError, match="S3_ACCESS_KEY_ID and S3_SECRET_ACCESS_KEY go together"):
        server.settings(s3_secret_access_key=None)


def test_no_credentials_anywhere_is_not_worth_another_try(
    server: Scripted, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    bare = Storage(server.settings(s3_access_key_id=None, s3_secret_access_key=None))
    server.will(Reply(200))
    for operation in OPERATIONS.values():
        assert not refused(operation, bare).retryable
    bare.close()


def test_a_local_file_that_is_not_there_is_no_failure_of_s3(store: Storage, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        store.put_file(KEY, tmp_path / "none", "image/png")


@pytest.mark.parametrize("key", ["", "/a", "a/", "a//b", "a/./b", "a/../b", "..", "a\tb", "a\x00b", "a\\b"])
def test_a_key_that_would_be_stored_under_another_name_is_refused(store: Storage, key: str) -> None:
    with pytest.raises(ValueError, match="not a key"):
        store.put_bytes(key, b"x", "text/plain")


@pytest.mark.parametrize(("start", "end"), [(None, 5), (-1, 5), (6, 5)])
def test_a_range_that_is_none_is_refused(store: Storage, start: int | None, end: int | None) -> None:
    with pytest.raises(ValueError):
        store.get_range(KEY, start, end)


@pytest.mark.parametrize("path_style", [True, False])
@pytest.mark.parametrize("bucket", ["plain-bucket", "dotted.bucket"])
@pytest.mark.parametrize(
    "endpoint",
    [
        None,
        "https://account.r2.cloudflarestorage.com",
        "https://s3.example.com:9000/",
        "http://s3.example.com",
        "http://127.0.0.1:9000",
        "http://[::1]:9000",
    ],
)
def test_both_clients_go_to_the_same_place(
    server: Scripted, endpoint: str | None, bucket: str, path_style: bool
) -> None:
    config = server.settings(s3_endpoint_url=endpoint, s3_bucket=bucket, s3_path_style=path_style)
    client = boto_client(boto3.Session(), config, endpoint, "secret")
    link = urlsplit(client.generate_presigned_url("get_object", Params={"Bucket": bucket, "Key": "key"}))
    client.close()
    place, virtual = where(endpoint, bucket, path_style=path_style)
    if place is None:
        place = f"https://{bucket}.s3.us-east-1.amazonaws.com" if virtual else "https://s3.us-east-1.amazonaws.com"
        link = link._replace(netloc=link.netloc.replace("s3.amazonaws.com", "s3.us-east-1.amazonaws.com"))
    assert f"{link.scheme}://{link.netloc}{link.path}" == (f"{place}/key" if virtual else f"{place}/{bucket}/key")
