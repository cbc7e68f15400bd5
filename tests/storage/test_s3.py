"""The S3 module against a real server, and its errors against moto's."""

import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import httpx
import pytest
from moto.server import ThreadedMotoServer
from uuid_utils.compat import uuid7

from cli.embedded.servers import Addresses
from storage.s3 import Storage, StorageError
from tests.conftest import environment


@pytest.fixture(params=["seaweedfs", "moto"])
def s3(request: pytest.FixtureRequest, stack: Addresses) -> Iterator[Storage]:
    if request.param == "seaweedfs":
        with environment({}):
            made = Storage()
            yield made
            made.close()
        return
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0)
    server.start()
    host, port = server.get_host_and_port()
    settings = {
        "S3_ENDPOINT_URL": f"http://{host}:{port}",
        "S3_ACCESS_KEY_ID": "a",
        "S3_SECRET_ACCESS_KEY": "b",
        "S3_BUCKET": "made",
    }
    with environment(settings):
        made = Storage()
        made.ensure_bucket()
        made.ensure_bucket()
        yield made
        made.close()
    server.stop()


def name() -> str:
    return f"tests/{uuid7()}"


def test_what_is_put_is_got_whole_and_in_parts(s3: Storage, tmp_path: Path) -> None:
    key, path = name(), tmp_path / "file"
    path.write_bytes(bytes(range(256)) * 100)
    s3.put_file(key, path, "video/mp4")
    whole = s3.get_range(key)
    assert (b"".join(whole.chunks), whole.size, whole.media_type) == (path.read_bytes(), 25_600, "video/mp4")
    part = s3.get_range(key, 10, 19)
    assert (b"".join(part.chunks), part.size) == (bytes(range(10, 20)), 25_600)
    assert s3.head(key) == (25_600, "video/mp4")


@pytest.mark.parametrize("key", ["tests/with space+plus", "tests/ümläut/日本", "tests/per%cent&and=more"])
def test_odd_names_work(s3: Storage, key: str) -> None:
    s3.put_bytes(key, b"odd", "text/plain")
    assert b"".join(s3.get_range(key).chunks) == b"odd"
    assert s3.delete_many([key]) == {}


def test_what_is_missing_is_said_to_be(s3: Storage) -> None:
    for call in (s3.get_range, s3.head):
        with pytest.raises(StorageError) as caught:
            call(name())
        assert (caught.value.missing, caught.value.retryable) == (True, False)


def test_many_are_listed_by_page_and_deleted_at_once(s3: Storage) -> None:
    prefix = name() + "/"
    for number in range(25):
        s3.put_bytes(f"{prefix}{number:03}", b"x", "text/plain")
    pages, after = [], None
    while page := s3.list_page(prefix, after, 10):
        pages.append([item.key for item in page])
        after = page[-1].key
    assert [len(page) for page in pages] == [10, 10, 5]
    everything = [key for page in pages for key in page]
    assert s3.delete_many([*everything, *(f"{prefix}none-{n}" for n in range(2500))]) == {}
    assert s3.list_page(prefix, None, 10) == []
    assert s3.delete_many([]) == {}


@pytest.mark.parametrize("s3", ["seaweedfs"], indirect=True)  # moto says that every upload began in 2010
def test_uploads_left_open_are_aborted_once_they_are_old(s3: Storage) -> None:
    key = "results/" + name()  # others' uploads are left alone
    s3._client.create_multipart_upload(Bucket=s3._bucket, Key=key)
    assert s3.abort_stale_uploads(timedelta(hours=1)) == 0
    time.sleep(1.1)
    assert s3.abort_stale_uploads(timedelta(seconds=0)) == 1
    assert s3.abort_stale_uploads(timedelta(seconds=0)) == 0


def test_the_check_passes(s3: Storage) -> None:
    s3.check()


@pytest.mark.parametrize(("changes", "retryable"), [
    ({"S3_SECRET_ACCESS_KEY": "wrong"}, False),
    ({"S3_BUCKET": "no-such-bucket"}, False),
    ({"S3_ENDPOINT_URL": "http://127.0.0.1:1"}, True),
])  # fmt: skip
def test_an_error_says_whether_trying_again_helps_and_no_secret(
    stack: Addresses, changes: dict[str, str], retryable: bool
) -> None:
    with environment(changes):
        wrong = Storage()
        calls = (lambda: wrong.put_bytes("k", b"x", "text/plain"), lambda: wrong.list_page("x", None, 1), wrong.check)
        for call in calls:
            with pytest.raises(StorageError) as caught:
                call()
            assert caught.value.retryable == retryable, str(caught.value)
            assert stack.s3_secret_access_key not in str(caught.value)
        wrong.close()


def test_a_signed_link_works_until_it_expires_and_only_for_its_object(stack: Addresses) -> None:
    with environment({}):
        s3 = Storage()
        key = name()
        s3.put_bytes(key, b"linked", "text/plain")
        link = s3.presign(key, 1, filename="grüße.txt", media_type="text/markdown")
        answer = httpx.get(link)
        assert (answer.content, answer.headers["content-type"]) == (b"linked", "text/markdown")
        assert httpx.get(link.replace(key, name())).status_code == 403
        assert httpx.get(s3._store.config.get("endpoint", link).split("?")[0]).status_code in {403, 400}
        time.sleep(2.1)
        assert httpx.get(link).status_code == 403
        s3.close()


def test_a_film_of_200_mb_costs_less_than_40_mb_of_memory(stack: Addresses, tmp_path: Path) -> None:
    program = """
import resource, sys
from pathlib import Path
from storage.s3 import Storage
s3 = Storage()
s3.put_bytes("tests/warm", b"x", "text/plain")
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
s3.put_file("tests/large", Path(sys.argv[1]), "video/mp4")
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
s3.delete_many(["tests/large"])
s3.close()
"""
    path = tmp_path / "large"
    with path.open("wb") as file:
        file.truncate(200_000_000)
    with environment({}):
        grown = subprocess.run([sys.executable, "-c", program, str(path)], capture_output=True, text=True, check=True)
    assert int(grown.stdout) < 40_000  # KiB
