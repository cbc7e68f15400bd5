"""S3 as others serve it: under a path, in a region `auto`, without newer checksums, without signatures, without lists."""

from collections.abc import Iterator
from typing import Any

import pytest
from moto.server import ThreadedMotoServer

from common.settings import Settings
from scheduler.duties import results
from storage import keys, s3
from storage.s3 import Storage, StorageError
from tests.storage.buckets import make_bucket
from tests.storage.contract import BODY, Contract
from tests.storage.flavoured import Flavour, flavoured

FLAVOURS: dict[str, dict[str, Any]] = {
    "prefix": {"prefix": "/storage/v1/s3"}, "old": {"old": True}, "anonymous": {"anonymous": True}, "auto": {"region": "auto"},
}  # fmt: skip


@pytest.fixture(scope="module")
def moto() -> Iterator[str]:
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    straight = Storage(
        Settings(s3_endpoint_url=f"http://{host}:{port}", s3_access_key_id="a", s3_secret_access_key="b")
    )
    make_bucket(straight)
    straight.close()
    yield f"http://{host}:{port}"
    server.stop()


def keyed(flavour: Flavour) -> Settings:
    keys: dict[str, Any] = {"s3_access_key_id": "a", "s3_secret_access_key": "b"}
    return Settings(
        s3_endpoint_url=flavour.url, s3_region=flavour.region or "us-east-1", s3_anonymous=flavour.anonymous,
        **({} if flavour.anonymous else keys),
    )  # fmt: skip


@pytest.fixture(scope="module", params=FLAVOURS)
def flavour(moto: str, request: pytest.FixtureRequest) -> Iterator[Flavour]:
    with flavoured(moto, **FLAVOURS[request.param]) as made:
        yield made


@pytest.fixture(scope="module")
def store(flavour: Flavour) -> Iterator[Storage]:
    made = Storage(keyed(flavour))
    yield made
    made.close()


class TestFlavours(Contract):
    pass


def test_every_question_was_signed_and_put_as_this_flavour_wants_it(store: Storage, flavour: Flavour) -> None:
    store.put_bytes("results/asked", BODY, "image/png")
    assert b"".join(store.get_range("results/asked").chunks) == BODY
    assert flavour.refused == []


# Keys that may not list the bucket: S3 then says of what is not there that it is forbidden.


@pytest.fixture
def unlisted(moto: str) -> Iterator[tuple[Flavour, Storage]]:
    with flavoured(moto, unlisted=True) as made:
        store = Storage(keyed(made))
        yield made, store
        store.close()


def test_what_may_not_be_listed_is_put_read_and_deleted(unlisted: tuple[Flavour, Storage]) -> None:
    _, store = unlisted
    store.put_bytes("results/mine", BODY, "image/png")
    assert b"".join(store.get_range("results/mine").chunks) == BODY
    assert store.head("results/mine").size == len(BODY)
    assert store.delete_many(["results/mine", "results/never"]) == {}
    notes = store.check()
    assert len(notes) == 2
    assert all("list" in note for note in notes)


def test_what_is_not_there_is_missing_though_it_is_called_forbidden(unlisted: tuple[Flavour, Storage]) -> None:
    flavour, store = unlisted
    for ask in (lambda: store.head("results/none"), lambda: store.get_range("results/none")):
        with pytest.raises(StorageError) as caught:
            ask()
        assert caught.value.missing
    asked = len(flavour.asked)
    with pytest.raises(StorageError):
        store.head("results/none")
    assert len(flavour.asked) == asked + 1, "it is known by now that what is there can be read"
    flavour.be("lost")
    with pytest.raises(StorageError, match="nothing is there") as caught:
        store.put_bytes("results/lost", BODY, "image/png")
    assert caught.value.retryable


@pytest.mark.parametrize("asked", ["get", "head", "put"])
def test_what_is_forbidden_for_all_is_not_taken_for_missing(unlisted: tuple[Flavour, Storage], asked: str) -> None:
    flavour, store = unlisted
    store.put_bytes("results/there", BODY, "image/png")
    flavour.be(f"no {asked}")
    with pytest.raises(StorageError) as caught:
        store.get_range("results/there" if asked == "get" else "results/none")
    assert not caught.value.missing
    assert not caught.value.retryable


@pytest.mark.usefixtures("database")
def test_duties_that_need_a_list_say_so_once_and_fail_no_turn(
    unlisted: tuple[Flavour, Storage], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(s3, "_storage", unlisted[1])
    assert results.reap_strays(100) == 0
    assert results.reap("reap_inputs", keys.INPUTS, 100, lambda _conn, _found: []) == 0
    assert results.abort_uploads(100) == 0
    unlisted[0].unlisted = False
    unlisted[0].be("away")
    with pytest.raises(StorageError):
        results.reap_strays(100)
