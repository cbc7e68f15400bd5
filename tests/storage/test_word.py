"""S3's word is not believed: what it says that it stored is looked at, for every kind of put."""

import hashlib
import io
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from cli.embedded.servers import Addresses
from common.settings import settings
from storage.s3 import PART_BYTES, Storage, StorageError
from storage.sums import Sums, chunks_of, sums_of
from tests.storage.between import Between, between_us_and
from tests.storage.scripted import Reply, Scripted

KEY = "results/a/b/1-0.png"
SMALL, LARGE = os.urandom(20_000), os.urandom(2 * PART_BYTES + 1)
Put = Callable[[Storage, Path], None]


def _path(data: bytes) -> Put:
    def put(store: Storage, folder: Path) -> None:
        (folder / "file").write_bytes(data)
        store.put_file(KEY, folder / "file", "image/png")

    return put


PUTS: dict[str, tuple[Put, bytes]] = {
    "bytes": (lambda s, _: s.put_bytes(KEY, SMALL, "image/png"), SMALL),
    "bytes_in_parts": (lambda s, _: s.put_bytes(KEY, LARGE, "video/mp4"), LARGE),
    "path": (_path(SMALL), SMALL),
    "path_in_parts": (_path(LARGE), LARGE),
    "file": (lambda s, _: s.put_file(KEY, io.BytesIO(SMALL), "image/png"), SMALL),
    "file_in_parts": (lambda s, _: s.put_file(KEY, io.BytesIO(LARGE), "video/mp4"), LARGE),
}


@pytest.fixture(scope="module")
def line(stack: Addresses) -> Iterator[Between]:
    with between_us_and(stack.s3_endpoint_url) as between:
        yield between


@pytest.fixture
def store(line: Between) -> Iterator[Storage]:
    made = Storage(settings().model_copy(update={"s3_endpoint_url": line.url}))
    line.be("")
    made.delete_many([KEY])
    yield made
    line.be("")
    made.close()


def content(store: Storage, key: str = KEY) -> bytes:
    with store.get_range(key).chunks as chunks:
        return b"".join(chunks)


@pytest.mark.parametrize("name", PUTS)
@pytest.mark.parametrize("wrong", ["hurt", "short", "lost"])
def test_a_put_that_was_hurt_cut_or_lost_on_its_way_is_an_error_and_may_be_repeated(
    line: Between, store: Storage, tmp_path: Path, name: str, wrong: str
) -> None:
    put, data = PUTS[name]
    line.be(wrong)
    with pytest.raises(StorageError) as caught:
        put(store, tmp_path)
    assert (caught.value.retryable, caught.value.missing) == (True, False)
    assert KEY in str(caught.value)
    line.be("")
    put(store, tmp_path)
    assert content(store) == data


def test_a_part_that_was_lost_is_an_error_and_may_be_repeated(line: Between, store: Storage, tmp_path: Path) -> None:
    line.be("part_lost")
    with pytest.raises(StorageError) as caught:
        store.put_bytes(KEY, LARGE, "video/mp4")
    assert caught.value.retryable


@pytest.mark.parametrize("name", ["bytes", "path_in_parts"])
def test_what_was_there_before_is_not_taken_for_what_was_lost(
    line: Between, store: Storage, tmp_path: Path, name: str
) -> None:
    put, data = PUTS[name]
    store.put_bytes(KEY, data[:-1] + bytes([data[-1] ^ 1]), "image/png")  # as large, and other bytes
    line.be("lost")
    with pytest.raises(StorageError, match="other bytes are there") as caught:
        put(store, tmp_path)
    assert caught.value.retryable


def test_a_put_in_one_piece_costs_one_look_besides(line: Between, store: Storage) -> None:
    line.be("")
    store.put_bytes(KEY, SMALL, "image/png")
    assert [method for method, _ in line.asked] == ["PUT", "HEAD"]


def test_hurt_bytes_do_not_stay_as_the_input_that_a_later_step_would_take(line: Between, store: Storage) -> None:
    key = "inputs/a/b/photo"
    line.be("hurt")
    with pytest.raises(StorageError):
        store.put_bytes(key, SMALL, "image/png")
    line.be("")
    with pytest.raises(StorageError) as caught:
        store.head(key)
    assert caught.value.missing


# Other servers' ETags


def head_of(data: bytes, etag: str | None, **more: str) -> Reply:
    return Reply(200, data, {**({"etag": etag} if etag else {}), **more})


BEGUN = Reply(200, b"<InitiateMultipartUploadResult><UploadId>u</UploadId></InitiateMultipartUploadResult>")
PART = Reply(200, b"", {"etag": '"p"'})
ENDED = Reply(200, b'<CompleteMultipartUploadResult><ETag>"e"</ETag></CompleteMultipartUploadResult>')
STORED = Reply(200, b"", {"etag": '"x"'})
NO_SUM = {
    "kms": (f'"{"0" * 32}"', {"x-amz-server-side-encryption": "aws:kms"}),
    "of_a_customer": (f'"{"0" * 32}"', {"x-amz-server-side-encryption-customer-algorithm": "AES256"}),
    "minio_no_compat": (f'"{"0" * 32}-1"', {}),
    "google": ('"CPDJgf+S2PgCEAE="', {}),
    "none": (None, {}),
    "never_seen_before": (f'"{"0" * 32}"', {}),
}


@pytest.mark.parametrize("name", NO_SUM)
def test_what_is_small_and_has_no_sum_for_its_etag_is_read_back(server: Scripted, scripted: Storage, name: str) -> None:
    etag, headers = NO_SUM[name]
    server.will(STORED, head_of(SMALL, etag, **headers), Reply(200, SMALL))
    scripted.put_bytes(KEY, SMALL, "image/png")
    assert [each.method for each in server.asked] == ["PUT", "HEAD", "GET"]
    server.will(STORED, head_of(SMALL, etag, **headers), Reply(200, SMALL[:-1] + b"?"))
    with pytest.raises(StorageError, match="other bytes") as caught:
        scripted.put_bytes(KEY, SMALL, "image/png")
    assert caught.value.retryable


@pytest.mark.parametrize("name", ["kms", "of_a_customer", "minio_no_compat", "google", "none"])
def test_what_is_large_and_has_no_sum_for_its_etag_must_have_its_size(
    server: Scripted, scripted: Storage, name: str
) -> None:
    etag, headers = NO_SUM[name]
    if name in {"kms", "of_a_customer"}:
        etag = f'"{"0" * 32}-3"'
    put = [BEGUN, PART, PART, PART, ENDED]
    server.will(*put, head_of(LARGE, etag, **headers))
    scripted.put_bytes(KEY, LARGE, "video/mp4")
    assert "GET" not in [each.method for each in server.asked]
    server.will(*put, head_of(LARGE[:-1], etag, **headers))
    with pytest.raises(StorageError, match="bytes are there, not") as caught:
        scripted.put_bytes(KEY, LARGE, "video/mp4")
    assert caught.value.retryable


def test_what_is_large_and_has_another_sum_is_read_back_before_it_is_called_hurt(
    server: Scripted, scripted: Storage
) -> None:
    put, head = [BEGUN, PART, PART, PART, ENDED], head_of(LARGE, f'"{"0" * 32}-3"')
    server.will(*put, head, head, Reply(200, LARGE))
    scripted.put_bytes(KEY, LARGE, "video/mp4")
    server.will(*put, head, head, Reply(200, LARGE[:-1] + bytes([LARGE[-1] ^ 1])))
    with pytest.raises(StorageError, match="other bytes"):
        scripted.put_bytes(KEY, LARGE, "video/mp4")


def test_an_etag_in_capitals_or_without_quotation_marks_is_the_same(server: Scripted, scripted: Storage) -> None:
    server.will(STORED, head_of(SMALL, hashlib.md5(SMALL).hexdigest().upper()))
    scripted.put_bytes(KEY, SMALL, "image/png")
    assert [each.method for each in server.asked] == ["PUT", "HEAD"]


def test_a_look_that_fails_is_a_put_that_may_be_repeated(server: Scripted, scripted: Storage) -> None:
    server.will(STORED, Reply(503))
    with pytest.raises(StorageError) as caught:
        scripted.put_bytes(KEY, SMALL, "image/png")
    assert caught.value.retryable
    server.will(STORED, Reply(404))
    with pytest.raises(StorageError, match="nothing is there") as caught:
        scripted.put_bytes(KEY, SMALL, "image/png")
    assert (caught.value.retryable, caught.value.missing) == (True, False)


def test_an_upload_in_parts_that_ends_with_an_error_under_a_200_may_be_repeated(
    server: Scripted, scripted: Storage
) -> None:
    failed = Reply(200, b"<Error><Code>InternalError</Code><Message>no</Message></Error>")
    server.will(BEGUN, PART, PART, PART, failed)
    with pytest.raises(StorageError) as caught:
        scripted.put_bytes(KEY, LARGE, "video/mp4")
    assert caught.value.retryable


# The sums


@pytest.mark.parametrize("size", [0, 1, 9, 10, 11, 20, 21, 100])
@pytest.mark.parametrize("step", [1, 3, 10, 64])
def test_sums_do_not_depend_on_how_the_bytes_come(size: int, step: int) -> None:
    data = os.urandom(size)
    parts = [data[at : at + 10] for at in range(0, size, 10)]
    digests = b"".join(hashlib.md5(part).digest() for part in parts)
    etag = hashlib.md5(data).hexdigest() if size <= 10 else f"{hashlib.md5(digests).hexdigest()}-{len(parts)}"
    assert sums_of([data[at : at + step] for at in range(0, size, step)], 10) == Sums(size, etag)


def test_a_file_is_summed_from_its_start_and_left_there(tmp_path: Path) -> None:
    file = io.BytesIO(b"abc")
    file.seek(2)
    assert b"".join(chunks_of(file)) == b"abc"
    assert file.tell() == 0
    (tmp_path / "f").write_bytes(b"abc")
    assert b"".join(chunks_of(tmp_path / "f")) == b"abc" == b"".join(chunks_of(b"abc"))
