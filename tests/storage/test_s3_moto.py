"""The contract against moto, as a server on loopback: obstore is Rust, which mock_aws cannot reach."""

from collections.abc import Iterator

import pytest
from moto.server import ThreadedMotoServer

from common.settings import Settings
from storage.s3 import Storage, StorageError
from tests.storage.buckets import make_bucket
from tests.storage.contract import Contract


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


def config(url: str, bucket: str) -> Settings:
    return Settings(s3_endpoint_url=url, s3_bucket=bucket, s3_access_key_id="a", s3_secret_access_key="b")


@pytest.fixture(scope="module")
def store(url: str) -> Iterator[Storage]:
    made = Storage(config(url, "headrace"))
    make_bucket(made)
    yield made
    made.close()


class TestMoto(Contract):
    pass


def test_a_missing_bucket_is_named(url: str) -> None:
    fresh = Storage(config(url, "fresh"))
    with pytest.raises(StorageError, match="no such bucket") as caught:
        fresh.check()
    assert (caught.value.retryable, caught.value.missing) == (False, False)
    make_bucket(fresh)
    fresh.check()
    fresh.close()
