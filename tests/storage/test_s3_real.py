"""The contract against a real server, and what only one shows: signatures, expiry, memory."""

import os
import subprocess
import sys
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from cli.embedded.servers import Addresses
from common.settings import settings
from storage import s3
from storage.s3 import Storage, StorageError
from tests.storage.contract import Contract


@pytest.fixture(scope="module")
def store(stack: Addresses) -> Iterator[Storage]:
    made = Storage(settings())
    yield made
    made.close()


class TestSeaweedFS(Contract):
    pass


def other(**changes: Any) -> Storage:
    """A storage with other settings than the stack's."""
    return Storage(settings().model_copy(update=changes))


def assert_refused_for_good(wrong: Storage, hint: str) -> None:
    with pytest.raises(StorageError, match=hint) as caught:
        wrong.check()
    assert (caught.value.retryable, caught.value.missing) == (False, False)
    for operation in (
        lambda: wrong.get_range("results/x"),
        lambda: wrong.delete_many(["results/x"]),
        lambda: wrong.list_page("results/", None, 1),
    ):
        with pytest.raises(StorageError) as caught:
            operation()
        assert (caught.value.retryable, caught.value.missing) == (False, False)
    wrong.close()


def test_a_wrong_secret_is_named_and_not_tried_again(stack: Addresses) -> None:
    secret = type(settings().s3_secret_access_key)("wrong")
    assert_refused_for_good(other(s3_secret_access_key=secret), "the secret key is wrong")


def test_an_unknown_access_key_is_named_and_not_tried_again(stack: Addresses) -> None:
    assert_refused_for_good(other(s3_access_key_id="nobody"), "not known")


def test_a_missing_bucket_is_named_and_not_tried_again(stack: Addresses) -> None:
    assert_refused_for_good(other(s3_bucket="nonesuch"), "no such bucket")


def test_2500_objects_are_deleted_and_those_never_there_count_as_deleted(store: Storage) -> None:
    there = [f"results/many/{number:04}" for number in range(1250)]
    for key in there:
        store.put_bytes(key, b"x", "text/plain")
    assert len(store.list_page("results/many/", None, 5000)) == len(there)
    assert store.delete_many(there + [f"results/never/{number:04}" for number in range(1250)]) == {}
    assert store.list_page("results/many/", None, 5000) == []


def test_only_stale_uploads_of_results_are_aborted(store: Storage) -> None:
    ahead = timedelta(seconds=-5)  # everything so far is older than five seconds from now
    store.abort_stale_uploads(ahead)  # those of other tests
    keys = [*(f"results/up{n}" for n in range(3)), "archive/events/2026-05.parquet"]
    ours = [store._client.create_multipart_upload(Bucket=store._bucket, Key=key) for key in keys]
    foreign = store._client.create_multipart_upload(Bucket=store._bucket, Key="other/up")
    assert store.abort_stale_uploads(timedelta(hours=1)) == 0
    assert store.abort_stale_uploads(ahead, limit=2) == 2
    assert store.abort_stale_uploads(ahead) == len(ours) - 2
    assert store.abort_stale_uploads(ahead) == 0
    left = store._client.list_multipart_uploads(Bucket=store._bucket)["Uploads"]
    assert [each["UploadId"] for each in left] == [foreign["UploadId"]]
    store._client.abort_multipart_upload(Bucket=store._bucket, Key="other/up", UploadId=foreign["UploadId"])


def test_a_session_token_that_lies_about_is_not_mixed_in(store: Storage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_SESSION_TOKEN", "somebody-elses")
    fresh = other()
    fresh.check()
    fresh.close()


def test_without_keys_both_clients_take_those_of_the_machine(
    stack: Addresses, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    profile = (
        f"[default]\naws_access_key_id={stack.s3_access_key_id}\naws_secret_access_key={stack.s3_secret_access_key}\n"
    )
    (tmp_path / "credentials").write_text(profile)
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "credentials"))
    machine = other(s3_access_key_id=None, s3_secret_access_key=None)
    machine.check()
    machine.close()


def test_a_process_has_one_storage_until_it_is_closed(stack: Addresses) -> None:
    s3.close()
    first = s3.storage()
    assert s3.storage() is first
    s3.close()
    assert s3.storage() is not first
    s3.close()


MEASURE = """
import hashlib, sys
from pathlib import Path
from storage.s3 import storage, close

def now(name):
    return next(int(line.split()[1]) // 1024 for line in open("/proc/self/status") if line.startswith(name))

path = Path(sys.argv[1])
store = storage()
store.put_bytes("results/warm", b"x", "text/plain")
b"".join(store.get_range("results/warm").chunks)
idle = now("VmRSS")
store.put_file("results/big", path, "video/mp4")
after_put = now("VmHWM")
digest = hashlib.sha256()
for chunk in store.get_range("results/big").chunks:
    digest.update(chunk)
print(after_put - idle, now("VmHWM") - idle, digest.hexdigest(), store.head("results/big").size)
store.delete_many(["results/big", "results/warm"])
close()
"""


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_200_megabytes_cost_less_than_40_of_memory(store: Storage, tmp_path: Path) -> None:
    path = tmp_path / "big"
    block = os.urandom(1_000_000)
    with path.open("wb") as file:
        for number in range(200):
            file.write(number.to_bytes(8, "big") + block[8:])
    done = subprocess.run(
        [sys.executable, "-c", MEASURE, str(path)], capture_output=True, text=True, timeout=100, check=False
    )
    assert done.returncode == 0, done.stderr
    put, both, digest, size = done.stdout.split()
    print(f"peak above idle: put {put} MiB, put and read {both} MiB")
    assert int(size) == 200_000_000
    assert digest == subprocess.run(["sha256sum", path], capture_output=True, text=True, check=True).stdout.split()[0]
    assert int(put) < 40
    assert int(both) < 40
