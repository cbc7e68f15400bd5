"""Deleting many objects: what cannot be deleted is named, and keeps nothing else from being deleted. And the check."""

from collections.abc import Iterator

import pytest

from cli.embedded.servers import Addresses
from common.settings import settings
from storage.s3 import PAGE, Storage, StorageError
from tests.storage.between import Between, between_us_and
from tests.storage.scripted import Reply, Scripted, failure

KEYS = [f"results/{number:05}" for number in range(2 * PAGE + 1)]  # three calls
DONE = Reply(200, b"<DeleteResult/>")


@pytest.fixture
def store(scripted: Storage) -> Storage:
    return scripted


def _errors(*names: str) -> Reply:
    parts = "".join(f"<Error><Key>{n}</Key><Code>AccessDenied</Code><Message>locked</Message></Error>" for n in names)
    return Reply(200, f"<DeleteResult>{parts}</DeleteResult>".encode())


def test_a_thousand_objects_that_stay_are_named_and_the_rest_are_deleted(server: Scripted, store: Storage) -> None:
    server.will(_errors(*KEYS[:PAGE]), DONE)
    assert list(store.delete_many(KEYS)) == KEYS[:PAGE]
    assert len(server.asked) == 3


@pytest.mark.parametrize("reply", [failure(503, "SlowDown"), failure(403, "AccessDenied"), Reply(500)])
def test_a_call_that_fails_names_its_keys_and_the_others_are_made(
    server: Scripted, store: Storage, reply: Reply
) -> None:
    tries = 1 if reply.status == 403 else 3
    server.will(*[reply] * tries, DONE)
    failed = store.delete_many(KEYS)
    assert list(failed) == KEYS[:PAGE]
    assert str(reply.status) in failed[KEYS[0]]


def test_where_no_call_succeeds_it_is_an_error(server: Scripted, store: Storage) -> None:
    server.will(failure(403, "AccessDenied"))
    with pytest.raises(StorageError, match="may not do this"):
        store.delete_many(KEYS)
    assert len(server.asked) == 3


def test_where_nobody_answers_the_rest_is_not_tried(server: Scripted, store: Storage) -> None:
    away = Storage(server.settings(s3_endpoint_url="http://127.0.0.1:1"))
    with pytest.raises(StorageError) as caught:
        away.delete_many(KEYS)
    assert (caught.value.retryable, caught.value.code) == (True, "")
    away.close()


@pytest.mark.parametrize("code", ["MalformedXML", "InvalidArgument", "KeyTooLongError"])
def test_one_key_that_s3_does_not_take_does_not_fail_its_thousand(server: Scripted, store: Storage, code: str) -> None:
    server.will(failure(400, code), Reply(204), failure(400, code), Reply(404), Reply(204))
    failed = store.delete_many(["results/a", "results/b", "results/c", "results/d"])
    assert list(failed) == ["results/b"]
    assert code in failed["results/b"]
    assert [each.method for each in server.asked] == ["POST"] + ["DELETE"] * 4


def test_an_error_that_names_no_key_may_be_that_of_any(server: Scripted, store: Storage) -> None:
    server.will(Reply(200, b"<DeleteResult><Error><Code>InternalError</Code></Error></DeleteResult>"))
    assert list(store.delete_many(["results/a", "results/b"])) == ["results/a", "results/b"]


# The check tries what is used


@pytest.fixture(scope="module")
def line(stack: Addresses) -> Iterator[Between]:
    with between_us_and(stack.s3_endpoint_url) as between:
        yield between


@pytest.fixture
def through(line: Between) -> Iterator[Storage]:
    made = Storage(settings().model_copy(update={"s3_endpoint_url": line.url}))
    line.be("")
    yield made
    line.be("")
    made.delete_many([item.key for item in made.list_page(".headrace-probe", None, 100)])
    made.close()


def test_the_check_makes_every_kind_of_request_that_is_used(line: Between, through: Storage) -> None:
    through.check()
    asked = {(method, path.partition("?")[0].rpartition("/")[2][:6], "uploads" in path) for method, path in line.asked}
    assert {method for method, _, _ in asked} == {"PUT", "HEAD", "GET", "POST"}
    assert ("GET", "headra", True) in asked, "uploads in parts are listed"
    assert ("GET", "headra", False) in asked, "objects are listed"


@pytest.mark.parametrize("wrong", ["hurt", "short", "lost", "away"])
def test_the_check_finds_what_goes_wrong(line: Between, through: Storage, wrong: str) -> None:
    line.be(wrong)
    with pytest.raises(StorageError):
        through.check()


@pytest.mark.parametrize("asked", ["delete", "undeleted", "head"])
def test_the_check_finds_what_these_credentials_may_not(line: Between, through: Storage, asked: str) -> None:
    line.be(f"no {asked}")
    with pytest.raises(StorageError, match="deleting" if "delete" in asked else "looking"):
        through.check()


@pytest.mark.parametrize("asked", ["list", "uploads"])
def test_the_check_tells_what_can_be_done_without(line: Between, through: Storage, asked: str) -> None:
    line.be(f"no {asked}")
    assert [asked in note for note in through.check()] == [True]


def test_a_server_that_knows_no_ranges_is_not_read_as_if_it_did(server: Scripted, store: Storage) -> None:
    server.will(Reply(200, b"0123456789"))
    for start, end in ((2, 5), (2, None), (0, 5)):
        with pytest.raises(StorageError, match="whole"):
            store.get_range("results/ranged", start, end)
    for end in (9, None, 20):
        with store.get_range("results/ranged", 0, end).chunks as chunks:
            assert b"".join(chunks) == b"0123456789"
